//! A request as the decision sees it.

use crate::json::Tree;
use std::cell::{Cell, OnceCell};

/// What the decision reads of a request. Each call may cost a host call, so
/// nothing is read that a plan does not ask for.
pub trait Request {
    /// The first value of a header, by its lower-case name.
    fn header(&self, name: &str) -> Option<Vec<u8>>;

    /// The body, as far as it can be had now.
    fn body(&self) -> Body<'_>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// It has not arrived; when it has, the decision is made again.
    Pending,
    Whole(&'a [u8]),
    /// There is none, or none that can be held and read: too long, compressed, a
    /// stream without an end.
    Unreadable,
}

/// Reads each part of a request once, whatever asks for it.
pub struct Reader<'r> {
    request: &'r dyn Request,
    read: OnceCell<Header<'r>>,
    json: OnceCell<Option<Tree>>,
    body: Cell<BodyUse>,
}

/// What was read, in a chain that only grows: so a value can be lent, and the first
/// header, which is all that most requests are asked for, takes no memory of its own.
struct Header<'r> {
    name: &'r str,
    value: Option<Vec<u8>>,
    next: OnceCell<Box<Self>>,
}

/// What became of the wish to read the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyUse {
    /// Nothing asked for it.
    None,
    /// It was asked for and is still to come.
    Wanted,
    Read,
    /// It was asked for, and is none or no JSON.
    Unusable,
}

impl<'r> Reader<'r> {
    #[must_use]
    pub fn new(request: &'r impl Request) -> Self {
        Self {
            request,
            read: OnceCell::new(),
            json: OnceCell::new(),
            body: Cell::new(BodyUse::None),
        }
    }

    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &'r str) -> Option<&[u8]> {
        let read = || Header {
            name,
            value: self.request.header(name),
            next: OnceCell::new(),
        };
        let mut header = self.read.get_or_init(read);
        // The same name nearly always, which is seen without comparing its bytes.
        while !(core::ptr::eq(header.name, name) || header.name == name) {
            header = header.next.get_or_init(|| Box::new(read()));
        }
        header.value.as_deref()
    }

    /// What stands in the body at a JSON pointer (RFC 6901). A body that is no JSON
    /// document to its end has nothing anywhere.
    pub fn body(&self, pointer: &str) -> Option<&Tree> {
        let bytes = match self.request.body() {
            Body::Pending => {
                self.body.set(BodyUse::Wanted);
                return None;
            }
            Body::Unreadable => &[],
            Body::Whole(bytes) => bytes,
        };
        let json = self.json.get_or_init(|| Tree::parse(bytes).ok()).as_ref();
        self.body.set(match json {
            Some(_) => BodyUse::Read,
            None => BodyUse::Unusable,
        });
        json?.at(pointer)
    }

    #[must_use]
    pub fn body_use(&self) -> BodyUse {
        self.body.get()
    }
}

/// One after the other: a plan may ask for more headers than the stack has room for.
impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut next = self.read.take().and_then(|mut first| first.next.take());
        while let Some(mut header) = next {
            next = header.next.take();
        }
    }
}

/// Headers in a list, for tests; it counts what is read.
#[cfg(test)]
pub(crate) struct Fake {
    headers: Vec<(String, Vec<u8>)>,
    pub body: Option<Vec<u8>>,
    pub pending: bool,
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
            body: None,
            pending: false,
            reads: std::cell::Cell::default(),
        }
    }

    pub(crate) fn with_body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }
}

#[cfg(test)]
impl Request for Fake {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    fn body(&self) -> Body<'_> {
        match &self.body {
            _ if self.pending => Body::Pending,
            Some(body) => Body::Whole(body),
            None => Body::Unreadable,
        }
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
            assert_eq!(reader.header("a"), Some(b"1".as_slice()));
            assert_eq!(reader.header("b"), None);
        }
        assert_eq!(request.reads.get(), 2);
    }

    #[test]
    fn any_number_of_headers_is_read() {
        let names: Vec<String> = (0..1_000).map(|number| format!("x-{number}")).collect();
        let request = Fake::new([("x-700", b"1".as_slice())]);
        let reader = Reader::new(&request);
        for name in names.iter().chain(&names) {
            assert_eq!(reader.header(name).is_some(), name == "x-700");
        }
        assert_eq!(request.reads.get(), 1_000);
    }

    #[test]
    fn the_body_is_asked_for_before_it_is_there() {
        let text = |reader: &Reader<'_>, pointer| {
            let scalar = reader.body(pointer)?.scalar()?;
            Some(String::from_utf8(scalar).unwrap())
        };
        let mut request = Fake::new([]).with_body(br#"{"a":{"b":["x"]}}"#);
        request.pending = true;
        let reader = Reader::new(&request);
        assert_eq!(reader.body_use(), BodyUse::None);
        assert_eq!(text(&reader, "/a/b/0"), None);
        assert_eq!(reader.body_use(), BodyUse::Wanted);
        drop(reader);

        request.pending = false;
        let reader = Reader::new(&request);
        assert_eq!(text(&reader, "/a/b/0").as_deref(), Some("x"));
        assert_eq!(text(&reader, "/a/c"), None);
        assert_eq!(reader.body_use(), BodyUse::Read);
    }

    #[test]
    fn a_body_that_is_no_json_to_its_end_has_nothing() {
        let deep = [b"{\"a\":1,\"b\":".to_vec(), vec![b'['; 100_000]].concat();
        for body in [b"".as_slice(), b"{\"a\":1", b"{\"a\":1} x", b"\xff", &deep] {
            let request = Fake::new([]).with_body(body);
            let reader = Reader::new(&request);
            assert_eq!(reader.body("/a"), None);
            assert_eq!(reader.body_use(), BodyUse::Unusable);
        }
    }
}
