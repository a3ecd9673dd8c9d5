//! A binary heap whose ties come out as Go's `container/heap` lets them.
//!
//! Which of two equal elements is popped first follows from the positions that earlier pushes and
//! pops left them in. Upstream's merges run on that heap, so where equal label sets or equal times
//! decide which value is kept, equal bytes need equal sifting.

/// A min-heap; whoever pushes and pops passes the order, always the same one.
#[derive(Clone, Debug, Default)]
pub struct GoHeap<T> {
    items: Vec<T>,
}

impl<T> GoHeap<T> {
    /// An empty heap.
    pub fn new() -> Self {
        GoHeap { items: Vec::new() }
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The element that would be popped.
    pub fn peek(&self) -> Option<&T> {
        self.items.first()
    }

    /// Adds an element.
    pub fn push(&mut self, item: T, mut less: impl FnMut(&T, &T) -> bool) {
        self.items.push(item);
        let mut child = self.items.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !less(&self.items[child], &self.items[parent]) {
                break;
            }
            self.items.swap(parent, child);
            child = parent;
        }
    }

    /// Takes a smallest element.
    pub fn pop(&mut self, mut less: impl FnMut(&T, &T) -> bool) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.items.swap(0, last);
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= last {
                break;
            }
            let right = left + 1;
            let child = if right < last && less(&self.items[right], &self.items[left]) { right } else { left };
            if !less(&self.items[child], &self.items[parent]) {
                break;
            }
            self.items.swap(parent, child);
            parent = child;
        }
        self.items.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pops_in_order(items in prop::collection::vec(0u8..20, 0..100)) {
            let mut heap = GoHeap::new();
            for &i in &items {
                heap.push(i, |a, b| a < b);
            }
            let mut sorted = items.clone();
            sorted.sort_unstable();
            let popped: Vec<u8> = std::iter::from_fn(|| heap.pop(|a, b| a < b)).collect();
            prop_assert_eq!(popped, sorted);
        }
    }

    /// Merges label sets as upstream does and returns, for each, which inputs it came from, in order.
    fn order_of_equals(inputs: &[&[u8]]) -> Vec<Vec<usize>> {
        let mut heap = GoHeap::new();
        let mut at = vec![0; inputs.len()];
        let mut advance: Vec<usize> = (0..inputs.len()).collect();
        let mut out = Vec::new();
        loop {
            for &i in &advance {
                if let Some(&label) = inputs[i].get(at[i]) {
                    at[i] += 1;
                    heap.push((label, i), |a: &(u8, usize), b| a.0 < b.0);
                }
            }
            advance.clear();
            let Some(&(label, _)) = heap.peek() else { return out };
            while heap.peek().is_some_and(|top| top.0 == label) {
                advance.push(heap.pop(|a, b| a.0 < b.0).unwrap().1);
            }
            out.push(advance.clone());
        }
    }

    #[test]
    fn ties_follow_from_what_was_before() {
        assert_eq!(order_of_equals(&[b"abc", b"bc"]), [vec![0], vec![1, 0], vec![1, 0]]);
        assert_eq!(order_of_equals(&[b"a", b"a", b"a"]), [vec![0, 2, 1]]);
    }
}
