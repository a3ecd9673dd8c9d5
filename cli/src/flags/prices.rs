//! `--price.*`: what a provider is paid, for forecasts.

use blockyard::job::forecast;
use clap::Args;

/// Prices in any currency; what is not given costs nothing.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Prices, for --dry-run and forecasts")]
pub(crate) struct Prices {
    /// Price of 1000 reads (GET and HEAD), in any currency
    #[arg(long = "price.get", value_name = "AMOUNT", value_parser = amount)]
    get: Option<f64>,

    /// Price of 1000 writes (PUT, and parts of uploads)
    #[arg(long = "price.put", value_name = "AMOUNT", value_parser = amount)]
    put: Option<f64>,

    /// Price of 1000 pages of listings (LIST)
    #[arg(long = "price.list", value_name = "AMOUNT", value_parser = amount)]
    list: Option<f64>,

    /// Price of reading one GiB out of the bucket
    #[arg(long = "price.read", value_name = "AMOUNT", value_parser = amount)]
    read: Option<f64>,

    /// Price of keeping one GiB for a month
    #[arg(long = "price.storage", value_name = "AMOUNT", value_parser = amount)]
    storage: Option<f64>,
}

impl Prices {
    /// As forecasts take them.
    pub(crate) fn given(&self) -> forecast::Prices {
        forecast::Prices {
            per_1000_get: self.get,
            per_1000_put: self.put,
            per_1000_list: self.list,
            per_gib_read: self.read,
            per_gib_month: self.storage,
        }
    }
}

/// An amount of money.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() && n >= 0.0 => Ok(n),
        _ => Err(format!("not an amount from 0 on: {text:?} (such as 0.0004)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!((amount("0.0004"), amount("5e-3"), amount("0")), (Ok(0.0004), Ok(0.005), Ok(0.0)));
        for text in ["", "-1", "NaN", "inf", "0,5", "1$"] {
            assert!(amount(text).is_err(), "{text}");
        }
    }
}
