//! Operators that work number by number.

use candle_core::{DType, Tensor, WithDType};

use super::attributes::Attributes;
use super::values::{broadcast, channels_last, make, plain, read, spread, words};

/// Of one float32 tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unary {
    Identity,
    Relu,
    LeakyRelu(f32),
    Elu(f32),
    Sigmoid,
    HardSigmoid(f32, f32),
    HardSwish,
    Tanh,
    Erf,
    Gelu { tanh: bool },
    Softplus,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Neg,
    Abs,
    Floor,
    Ceil,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
}

/// Gives booleans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    And,
    Or,
}

// === impl Unary ===

impl Unary {
    pub(super) fn read(name: &str, at: &Attributes<'_>) -> Result<Option<Self>, String> {
        Ok(Some(match name {
            "Identity" => Self::Identity,
            // Nothing is dropped when a model is not in training.
            "Dropout" => {
                at.float("ratio", 0.5);
                at.int("seed", 0);
                Self::Identity
            }
            "Relu" => Self::Relu,
            "LeakyRelu" => Self::LeakyRelu(at.float("alpha", 0.01)),
            "Elu" => Self::Elu(at.float("alpha", 1.0)),
            "Sigmoid" => Self::Sigmoid,
            "HardSigmoid" => Self::HardSigmoid(at.float("alpha", 0.2), at.float("beta", 0.5)),
            "HardSwish" => Self::HardSwish,
            "Tanh" => Self::Tanh,
            "Erf" => Self::Erf,
            "Gelu" => match at.text("approximate", "none").as_str() {
                "none" => Self::Gelu { tanh: false },
                "tanh" => Self::Gelu { tanh: true },
                other => return Err(format!("has approximate `{other}`, which is not supported")),
            },
            "Softplus" => Self::Softplus,
            "Exp" => Self::Exp,
            "Log" => Self::Log,
            "Sqrt" => Self::Sqrt,
            "Reciprocal" => Self::Reciprocal,
            "Neg" => Self::Neg,
            "Abs" => Self::Abs,
            "Floor" => Self::Floor,
            "Ceil" => Self::Ceil,
            "Not" => Self::Not,
            _ => return Ok(None),
        }))
    }

    pub(super) fn apply(self, x: &Tensor) -> Result<Tensor, String> {
        if self == Self::Identity {
            return Ok(x.clone());
        }
        if self == Self::Not {
            let x = plain(x)?;
            let not = read::<u8, _>(&x, |flags| {
                flags.iter().map(|flag| u8::from(*flag == 0)).collect()
            })?;
            return make::<u8>(not, x.dims());
        }
        if x.dtype() == DType::I64 && matches!(self, Self::Neg | Self::Abs) {
            return (if self == Self::Neg { x.neg() } else { x.abs() }).map_err(words);
        }
        let last = channels_last(x);
        let x = last
            .as_ref()
            .map_or_else(|| plain(x), |last| Ok(last.clone()))?;
        let numbers = read::<f32, _>(&x, |numbers| self.map(numbers))?;
        let y = make(numbers, x.dims())?;
        match last {
            Some(_) => y.permute((0, 3, 1, 2)).map_err(words),
            None => Ok(y),
        }
    }

    fn map(self, numbers: &[f32]) -> Vec<f32> {
        let each = |link: fn(f32) -> f32| numbers.iter().map(|x| link(*x)).collect();
        match self {
            Self::Identity | Self::Not => numbers.to_vec(),
            Self::Relu => each(|x| if x < 0.0 { 0.0 } else { x }),
            Self::LeakyRelu(slope) => {
                let leaky = |x: &f32| if *x < 0.0 { slope * x } else { *x };
                numbers.iter().map(leaky).collect()
            }
            Self::Elu(alpha) => {
                let elu = |x: &f32| if *x < 0.0 { alpha * x.exp_m1() } else { *x };
                numbers.iter().map(elu).collect()
            }
            Self::Sigmoid => each(|x| 1.0 / (1.0 + (-x).exp())),
            Self::HardSigmoid(alpha, beta) => {
                let hard = |x: &f32| (alpha * x + beta).clamp(0.0, 1.0);
                numbers.iter().map(hard).collect()
            }
            Self::HardSwish => each(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
            Self::Tanh => each(f32::tanh),
            Self::Erf => each(erf),
            Self::Gelu { tanh: false } => {
                each(|x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)))
            }
            // 0.7978846 is sqrt(2 / pi).
            Self::Gelu { tanh: true } => {
                each(|x| 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()))
            }
            Self::Softplus => each(|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
            Self::Exp => each(f32::exp),
            Self::Log => each(f32::ln),
            Self::Sqrt => each(f32::sqrt),
            Self::Reciprocal => each(f32::recip),
            Self::Neg => each(|x| -x),
            Self::Abs => each(f32::abs),
            Self::Floor => each(f32::floor),
            Self::Ceil => each(f32::ceil),
        }
    }
}

fn erf(x: f32) -> f32 {
    candle_core::cpu::erf::erf_f64(f64::from(x)) as f32
}

// === impl Binary ===

impl Binary {
    pub(super) fn read(name: &str) -> Option<Self> {
        Some(match name {
            "Add" => Self::Add,
            "Sub" => Self::Sub,
            "Mul" => Self::Mul,
            "Div" => Self::Div,
            "Pow" => Self::Pow,
            "Min" => Self::Min,
            "Max" => Self::Max,
            _ => return None,
        })
    }

    pub(super) fn apply(self, left: &Tensor, right: &Tensor) -> Result<Tensor, String> {
        match (left.dtype(), right.dtype()) {
            (DType::F32, DType::F32) => self.floats(left, right),
            (DType::I64, DType::I64) => zip(left, right, |x: i64, y: i64| self.whole(x, y)),
            // A power may have an exponent of another type.
            (DType::F32, DType::I64) if self == Self::Pow => {
                self.floats(left, &right.to_dtype(DType::F32).map_err(words)?)
            }
            (left, right) => Err(format!("has inputs of types {left:?} and {right:?}")),
        }
    }

    fn floats(self, left: &Tensor, right: &Tensor) -> Result<Tensor, String> {
        match self {
            Self::Add => zip(left, right, |x: f32, y: f32| Some(x + y)),
            Self::Sub => zip(left, right, |x: f32, y: f32| Some(x - y)),
            Self::Mul => zip(left, right, |x: f32, y: f32| Some(x * y)),
            Self::Div => zip(left, right, |x: f32, y: f32| Some(x / y)),
            Self::Pow => zip(left, right, |x: f32, y: f32| Some(power(x, y))),
            Self::Min => zip(left, right, |x: f32, y: f32| Some(x.min(y))),
            Self::Max => zip(left, right, |x: f32, y: f32| Some(x.max(y))),
        }
    }

    /// Shapes are computed with whole numbers, so nothing may overflow.
    fn whole(self, x: i64, y: i64) -> Option<i64> {
        match self {
            Self::Add => x.checked_add(y),
            Self::Sub => x.checked_sub(y),
            Self::Mul => x.checked_mul(y),
            Self::Div => x.checked_div(y),
            Self::Pow => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
            Self::Min => Some(x.min(y)),
            Self::Max => Some(x.max(y)),
        }
    }
}

/// LayerNorm's squares are by far the most common power, and exact as products.
fn power(x: f32, y: f32) -> f32 {
    if y == 2.0 { x * x } else { x.powf(y) }
}

// === impl Comparison ===

impl Comparison {
    pub(super) fn read(name: &str) -> Option<Self> {
        Some(match name {
            "Equal" => Self::Equal,
            "Greater" => Self::Greater,
            "GreaterOrEqual" => Self::GreaterOrEqual,
            "Less" => Self::Less,
            "LessOrEqual" => Self::LessOrEqual,
            "And" => Self::And,
            "Or" => Self::Or,
            _ => return None,
        })
    }

    pub(super) fn apply(self, left: &Tensor, right: &Tensor) -> Result<Tensor, String> {
        match (left.dtype(), right.dtype()) {
            (DType::F32, DType::F32) => zip(left, right, |x: f32, y: f32| Some(self.holds(x, y))),
            (DType::I64, DType::I64) => zip(left, right, |x: i64, y: i64| Some(self.holds(x, y))),
            (DType::U8, DType::U8) => zip(left, right, |x: u8, y: u8| {
                Some(match self {
                    Self::And => x & y,
                    Self::Or => x | y,
                    _ => self.holds(x, y),
                })
            }),
            (left, right) => Err(format!("has inputs of types {left:?} and {right:?}")),
        }
    }

    fn holds<T: PartialOrd>(self, x: T, y: T) -> u8 {
        u8::from(match self {
            Self::Equal => x == y,
            Self::Greater => x > y,
            Self::GreaterOrEqual => x >= y,
            Self::Less => x < y,
            Self::LessOrEqual => x <= y,
            Self::And | Self::Or => false,
        })
    }
}

/// Joins two tensors number by number, with ONNX's (numpy's) broadcasting.
fn zip<T: WithDType, U: WithDType>(
    left: &Tensor,
    right: &Tensor,
    join: impl Fn(T, T) -> Option<U>,
) -> Result<Tensor, String> {
    const OVERFLOW: &str = "has a result that is no 64-bit number";
    // Two images that both lie channels-last stay so.
    if left.dims() == right.dims()
        && !left.is_contiguous()
        && let (Some(left), Some(right)) = (channels_last(left), channels_last(right))
    {
        return zip(&left, &right, join)?
            .permute((0, 3, 1, 2))
            .map_err(words);
    }
    let dims = broadcast(left.dims(), right.dims())?;
    // A bias along the last axes, or one number, is repeated without a copy.
    let repeats = left.dims() == dims && is_suffix(right.dims(), &dims);
    let left = spread(left, &dims)?;
    let right = if repeats {
        plain(right)?
    } else {
        spread(right, &dims)?
    };
    let joined = read::<T, _>(&left, |left| {
        read::<T, _>(&right, |right| {
            let mut joined = Vec::with_capacity(left.len());
            for left in left.chunks(right.len().max(1)) {
                for (x, y) in left.iter().zip(right) {
                    joined.push(join(*x, *y)?);
                }
            }
            Some(joined)
        })
    })??;
    make(joined.ok_or(OVERFLOW)?, &dims)
}

/// Whether a shape, without its leading ones, is the end of another.
fn is_suffix(dims: &[usize], of: &[usize]) -> bool {
    let ones = dims.iter().take_while(|size| **size == 1).count();
    dims.get(ones..).is_some_and(|dims| of.ends_with(dims)) && dims.len() <= of.len()
}
