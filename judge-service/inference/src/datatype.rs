//! The datatypes of the Open Inference Protocol that JSON numbers can carry.

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
    Fp32,
    Fp64,
}

impl Datatype {
    const ALL: [Self; 11] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp32,
        Self::Fp64,
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
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
        }
    }

    /// The datatype of that name; `None` for BYTES, FP16, BF16 and anything unknown.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|datatype| datatype.name() == name)
    }

    /// Whether elements are whole numbers.
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::Fp32 | Self::Fp64)
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
            Self::Fp32 => (f64::from(f32::MIN), f64::from(f32::MAX)),
            Self::Fp64 => (f64::MIN, f64::MAX),
        };
        (low..=high).contains(&number) && (!self.is_whole() || number.fract() == 0.0)
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
        assert_eq!(Datatype::from_name("BYTES"), None);
        assert_eq!(Datatype::from_name("fp32"), None);
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
