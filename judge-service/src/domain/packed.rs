//! Numbers as few bytes: seven bits a byte, the lowest first, the top bit set on all
//! but the last (LEB128). Counts are small, and most of what is stored are counts.

/// What cannot be read, in words for whoever repairs a database.
pub type Damage = &'static str;

/// No list that is stored is as long; a damaged length must not be allocated.
const LONGEST: u64 = 1 << 24;

pub fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The cast keeps the low seven bits, which are meant.
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

pub fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

/// Reads what was put, in the same order.
#[derive(Debug)]
pub struct Packed<'a> {
    rest: &'a [u8],
}

impl<'a> Packed<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> Result<u8, Damage> {
        let (&first, rest) = self.rest.split_first().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(first)
    }

    pub fn number(&mut self) -> Result<u64, Damage> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number has more than 64 bits")
    }

    /// A number that fits a smaller type.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Damage> {
        T::try_from(self.number()?).map_err(|_| "a number is too large")
    }

    pub fn length(&mut self) -> Result<usize, Damage> {
        match self.number()? {
            length if length <= LONGEST => Ok(length as usize),
            _ => Err("a list is too long"),
        }
    }

    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (found, rest) = self.rest.split_first_chunk().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*found)
    }

    pub fn text(&mut self) -> Result<String, Damage> {
        let length = self.length()?;
        let (text, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or("it ends too early")?;
        self.rest = rest;
        match core::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err("a text is not UTF-8"),
        }
    }

    /// # Errors
    /// When something is left: bytes that were put have no more than was put.
    pub fn end(&self) -> Result<(), Damage> {
        if self.is_empty() {
            Ok(())
        } else {
            Err("it goes on after its end")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        let numbers = [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            1 << 44,
            u64::MAX - 1,
            u64::MAX,
        ];
        let mut bytes = Vec::new();
        for number in numbers {
            put(&mut bytes, number);
        }
        put_text(&mut bytes, "kanarienvögel");
        let mut packed = Packed::new(&bytes);
        for number in numbers {
            assert_eq!(packed.number(), Ok(number));
        }
        assert_eq!(packed.text().as_deref(), Ok("kanarienvögel"));
        assert_eq!(packed.end(), Ok(()));
    }

    #[test]
    fn what_nobody_put_is_an_error() {
        assert!(Packed::new(&[]).number().is_err());
        assert!(Packed::new(&[0x80]).number().is_err());
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(Packed::new(&too_large).number().is_err());
        assert!(Packed::new(&[0xff; 11]).number().is_err());
        assert!(Packed::new(&[0x81, 0x02]).small::<u8>().is_err());
        assert!(Packed::new(&[2, b'a']).text().is_err());
        assert!(Packed::new(&[1, 0xff]).text().is_err());
        let mut long = Vec::new();
        put(&mut long, LONGEST + 1);
        assert!(Packed::new(&long).length().is_err());
        assert!(Packed::new(&[0]).end().is_err());
    }
}
