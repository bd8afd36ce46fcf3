//! The datatypes of the Open Inference Protocol, and their bytes.

use serde::{Deserialize, Serialize};

/// A tensor's element type on the wire, by its protocol name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    /// In binary only: JSON has no such numbers in practice, but they are read.
    Bf16,
    Fp32,
    Fp64,
    /// Texts, which are labels.
    Bytes,
}

impl Datatype {
    const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// The datatype of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|datatype| datatype.name() == name)
    }

    /// Whether elements are whole numbers.
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }

    /// Whether a number is a value of this datatype. The bounds of 64-bit types
    /// are those that a JSON number, read as a double, can tell apart.
    pub fn holds(self, number: f64) -> bool {
        let (low, high) = match self {
            Self::Bool => (0.0, 1.0),
            Self::Uint8 => (0.0, f64::from(u8::MAX)),
            Self::Uint16 => (0.0, f64::from(u16::MAX)),
            Self::Uint32 => (0.0, f64::from(u32::MAX)),
            Self::Uint64 => (0.0, u64::MAX as f64),
            Self::Int8 => (f64::from(i8::MIN), f64::from(i8::MAX)),
            Self::Int16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
            Self::Int32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
            Self::Int64 => (i64::MIN as f64, i64::MAX as f64),
            // The largest numbers of 5 and of 8 bits of exponent.
            Self::Fp16 => (-65_504.0, 65_504.0),
            Self::Bf16 => (-BF16_MAX, BF16_MAX),
            Self::Fp32 => (f64::from(f32::MIN), f64::from(f32::MAX)),
            Self::Fp64 => (f64::MIN, f64::MAX),
            Self::Bytes => return false,
        };
        (low..=high).contains(&number) && (!self.is_whole() || number.fract() == 0.0)
    }

    /// The bytes of one element in the binary extension; `None` for BYTES, whose
    /// elements say their own length.
    pub fn size(self) -> Option<usize> {
        Some(match self {
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => 2,
            Self::Uint32 | Self::Int32 | Self::Fp32 => 4,
            Self::Uint64 | Self::Int64 | Self::Fp64 => 8,
            Self::Bytes => return None,
        })
    }

    /// Little-endian elements; bytes at the end that are none are left out.
    pub(super) fn elements(self, raw: &[u8]) -> Vec<f64> {
        match self {
            Self::Bool => words(raw, |[byte]: [u8; 1]| f64::from(u8::from(byte != 0))),
            Self::Uint8 => words(raw, |[byte]: [u8; 1]| f64::from(byte)),
            Self::Int8 => words(raw, |word| f64::from(i8::from_le_bytes(word))),
            Self::Uint16 => words(raw, |word| f64::from(u16::from_le_bytes(word))),
            Self::Int16 => words(raw, |word| f64::from(i16::from_le_bytes(word))),
            Self::Fp16 => words(raw, |word| half(u16::from_le_bytes(word))),
            Self::Bf16 => words(raw, |word| {
                f64::from(f32::from_bits(u32::from(u16::from_le_bytes(word)) << 16))
            }),
            Self::Uint32 => words(raw, |word| f64::from(u32::from_le_bytes(word))),
            Self::Int32 => words(raw, |word| f64::from(i32::from_le_bytes(word))),
            Self::Fp32 => words(raw, |word| f64::from(f32::from_le_bytes(word))),
            Self::Uint64 => words(raw, |word| u64::from_le_bytes(word) as f64),
            Self::Int64 => words(raw, |word| i64::from_le_bytes(word) as f64),
            Self::Fp64 => words(raw, f64::from_le_bytes),
            Self::Bytes => Vec::new(),
        }
    }
}

/// (2 - 2^-7) x 2^127.
const BF16_MAX: f64 = 3.389_531_389_251_535_5e38;

fn words<const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    raw.as_chunks::<N>()
        .0
        .iter()
        .map(|word| read(*word))
        .collect()
}

/// An IEEE 754 number of 5 bits of exponent and 10 of fraction.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    sign * match exponent {
        0 => fraction * 2.0_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_and_the_table_of_names_agree() {
        for datatype in Datatype::ALL {
            let text = serde_json::to_string(&datatype).unwrap();
            assert_eq!(text, format!("\"{}\"", datatype.name()));
            assert_eq!(Datatype::from_name(datatype.name()), Some(datatype));
        }
        assert_eq!(Datatype::from_name("STRING"), None);
        assert_eq!(Datatype::from_name("fp32"), None);
    }

    /// By numpy: `numpy.float16(...).tobytes()`.
    #[test]
    fn bytes_are_little_endian_elements() {
        let halves =
            Datatype::Fp16.elements(&[0, 0x3c, 0, 0xc0, 1, 0, 0xff, 0x7b, 0, 0x7c, 1, 0x7c, 9]);
        assert_eq!(
            halves[..5],
            [1.0, -2.0, 2.0_f64.powi(-24), 65_504.0, f64::INFINITY]
        );
        assert!(halves[5].is_nan() && halves.len() == 6);
        assert_eq!(
            Datatype::Bf16.elements(&[0x80, 0x3f, 0x7f, 0x7f]),
            [1.0, BF16_MAX]
        );
        assert_eq!(Datatype::Int16.elements(&[0xfe, 0xff, 2, 0]), [-2.0, 2.0]);
        assert_eq!(
            Datatype::Uint64.elements(&[1, 0, 0, 0, 1, 0, 0, 0]),
            [4_294_967_297.0]
        );
        assert_eq!(Datatype::Fp64.elements(&0.1_f64.to_le_bytes()), [0.1]);
        assert_eq!(Datatype::Bool.elements(&[0, 1, 2]), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn a_datatype_holds_its_own_range_only() {
        let cases = [
            (Datatype::Bool, 1.0, 2.0),
            (Datatype::Uint8, 255.0, 256.0),
            (Datatype::Uint64, 0.0, -1.0),
            (Datatype::Int8, -128.0, -129.0),
            (Datatype::Int32, 7.0, 7.5),
            (Datatype::Fp32, 7.5, 1e39),
            (Datatype::Fp64, 1e300, f64::INFINITY),
            (Datatype::Fp64, 0.0, f64::NAN),
        ];
        for (datatype, inside, outside) in cases {
            assert!(datatype.holds(inside), "{} {inside}", datatype.name());
            assert!(!datatype.holds(outside), "{} {outside}", datatype.name());
        }
    }
}
