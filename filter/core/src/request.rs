//! A request as the decision sees it.

use std::cell::RefCell;
use std::rc::Rc;

/// What the decision reads of a request. Each call may cost a host call, so
/// nothing is read that a plan does not ask for.
pub trait Request {
    /// The first value of a header, by its lower-case name.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
}

/// Reads each header once, whatever asks for it.
pub struct Reader<'request> {
    request: &'request dyn Request,
    read: RefCell<Vec<(String, Option<Value>)>>,
}

type Value = Rc<Vec<u8>>;

impl<'request> Reader<'request> {
    #[must_use]
    pub fn new(request: &'request impl Request) -> Self {
        Self {
            request,
            read: RefCell::default(),
        }
    }

    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Rc<Vec<u8>>> {
        let mut read = self.read.borrow_mut();
        if let Some((_, value)) = read.iter().find(|(known, _)| known == name) {
            return value.clone();
        }
        let value = self.request.header(name).map(Rc::new);
        read.push((name.to_owned(), value.clone()));
        value
    }
}

/// Headers in a list, for tests; it counts what is read.
#[cfg(test)]
pub(crate) struct Fake {
    headers: Vec<(String, Vec<u8>)>,
    pub reads: std::cell::Cell<u32>,
}

#[cfg(test)]
impl Fake {
    pub(crate) fn new<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self {
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                .collect(),
            reads: std::cell::Cell::default(),
        }
    }
}

#[cfg(test)]
impl Request for Fake {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_is_read_once() {
        let request = Fake::new([("a", b"1".as_slice())]);
        let reader = Reader::new(&request);
        for _ in 0..3 {
            assert_eq!(reader.header("a").unwrap().as_slice(), b"1");
            assert_eq!(reader.header("b"), None);
        }
        assert_eq!(request.reads.get(), 2);
    }
}
