//! What requests and bytes cost, by prices that a user gives; in any currency, since only sums are made.

use serde::Serialize;

use super::cost::Requests;

/// Requests that one price of a request is for.
const REQUESTS_A_PRICE: f64 = 1000.0;

/// Bytes that one price of bytes is for.
const GIB: f64 = (1u64 << 30) as f64;

/// Prices of a provider; what is not given costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// Of a thousand reads, and of a thousand questions for size and time, which providers bill alike.
    pub per_1000_get: Option<f64>,
    /// Of a thousand writes of objects and parts.
    pub per_1000_put: Option<f64>,
    /// Of a thousand pages of listings.
    pub per_1000_list: Option<f64>,
    /// Of reading one GiB.
    pub per_gib_read: Option<f64>,
    /// Of keeping one GiB for a month.
    pub per_gib_month: Option<f64>,
}

impl Prices {
    /// Whether any is given.
    pub fn are_given(&self) -> bool {
        *self != Prices::default()
    }

    /// What these requests cost, and reading so many bytes; `None` where no price is given. Deletions are free everywhere.
    pub fn of(&self, requests: &Requests, bytes_read: u64) -> Option<f64> {
        let each = |count: u64, price: Option<f64>| count as f64 / REQUESTS_A_PRICE * price.unwrap_or(0.0);
        self.are_given().then(|| {
            each(requests.get.saturating_add(requests.head), self.per_1000_get)
                + each(requests.put, self.per_1000_put)
                + each(requests.list, self.per_1000_list)
                + bytes_read as f64 / GIB * self.per_gib_read.unwrap_or(0.0)
        })
    }

    /// What it costs a month to keep so many bytes more, negative where there are fewer; `None` without a price for it.
    pub fn a_month(&self, bytes: i64) -> Option<f64> {
        self.per_gib_month.map(|price| bytes as f64 / GIB * price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_price_costs() {
        let requests = Requests { list: 2, get: 3000, head: 1000, put: 500, delete: 9_999 };
        assert_eq!(Prices::default().of(&requests, 1 << 40), None);
        let prices = Prices { per_1000_get: Some(0.5), per_1000_put: Some(4.0), ..Prices::default() };
        assert_eq!(prices.of(&requests, 1 << 40), Some(4.0));
        let all = Prices { per_1000_list: Some(5.0), per_gib_read: Some(0.1), per_gib_month: Some(0.2), ..prices };
        assert!((all.of(&requests, 10 << 30).unwrap() - 5.01).abs() < 1e-9);
        assert_eq!((prices.a_month(1), all.a_month(-5 << 30)), (None, Some(-1.0)));
    }
}
