//! Rows that a `show` yields.

use serde_json::Value;

/// Rows that one call of `show` yields at most, so that a table of a million
/// rows never holds up a burst.
pub const PAGE: usize = 256;

/// Where a resumed `show` goes on; its meaning is the element's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor(pub u64);

/// A table's columns and the rows collected so far.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Column names; set by the first row's maker.
    pub columns: Vec<&'static str>,
    /// One value a column.
    pub rows: Vec<Vec<Value>>,
}

impl Rows {
    /// Sets the columns, so that an empty table has a head too.
    pub fn columns(&mut self, names: &[&'static str]) {
        self.columns = names.to_vec();
    }

    /// Adds a row; its values stand in the columns' order.
    pub fn row<const N: usize>(&mut self, values: [Value; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(values.into());
    }

    /// The page holds as many rows as one call may yield.
    pub fn full(&self) -> bool {
        self.rows.len() >= PAGE
    }

    /// Adds the page of `all` that starts at `from`: for tables that can count
    /// their rows. Returns where the next page starts.
    pub fn page<T>(&mut self, all: impl Iterator<Item = T>, from: Cursor, mut add: impl FnMut(&mut Rows, T)) -> Option<Cursor> {
        let rest = all.skip(usize::try_from(from.0).unwrap_or(usize::MAX));
        for (n, item) in (from.0..).zip(rest) {
            if self.full() {
                return Some(Cursor(n));
            }
            add(self, item);
        }
        None
    }

    /// Rows as JSON objects.
    pub fn to_json(&self) -> Vec<Value> {
        let object = |row: &Vec<Value>| Value::Object(self.columns.iter().map(|c| (*c).to_owned()).zip(row.iter().cloned()).collect());
        self.rows.iter().map(object).collect()
    }
}
