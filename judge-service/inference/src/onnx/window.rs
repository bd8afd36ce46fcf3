//! Where a kernel goes over an image, for convolutions and pools.

use pulp::Simd;

use super::attributes::Attributes;

/// What is done to a number after it is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Activation {
    Relu,
    Clip(f32, f32),
}

/// Where a kernel goes over an image, as the attributes have it: one or two axes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) kernel: Option<Vec<usize>>,
    pub(super) strides: Option<Vec<usize>>,
    pub(super) dilations: Option<Vec<usize>>,
    pub(super) pads: Option<Vec<usize>>,
    /// `auto_pad=VALID`: no padding, whatever is said.
    pub(super) valid: bool,
}

/// A window over two axes, complete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) before: [usize; 2],
    pub(super) after: [usize; 2],
}

// === impl Activation ===

impl Activation {
    #[inline(always)]
    pub(super) fn apply(self, numbers: &mut [f32]) {
        match self {
            Self::Relu => numbers.iter_mut().for_each(|x| *x = x.max(0.0)),
            Self::Clip(low, high) => numbers.iter_mut().for_each(|x| *x = x.max(low).min(high)),
        }
    }

    /// The same of a vector. Numbers are compared, since what is larger of one and of what
    /// is no number differs from machine to machine.
    #[inline(always)]
    pub(super) fn of_vector<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let at_least = |low: f32| {
            let low = simd.splat_f32s(low);
            simd.select_f32s(simd.greater_than_f32s(x, low), x, low)
        };
        match self {
            Self::Relu => at_least(0.0),
            Self::Clip(low, high) => {
                let (x, high) = (at_least(low), simd.splat_f32s(high));
                simd.select_f32s(simd.less_than_f32s(x, high), x, high)
            }
        }
    }
}

// === impl Window ===

impl Window {
    pub(super) fn read(at: &Attributes<'_>) -> Result<Self, String> {
        let auto = at.text("auto_pad", "NOTSET");
        if auto != "NOTSET" && auto != "VALID" {
            return Err(format!(
                "has auto_pad {auto}, which is not supported: export with explicit pads"
            ));
        }
        Ok(Self {
            kernel: at.sizes("kernel_shape")?,
            strides: at.sizes("strides")?,
            dilations: at.sizes("dilations")?,
            pads: at.sizes("pads")?,
            valid: auto == "VALID",
        })
    }

    /// # Errors
    /// Attributes that do not belong together.
    pub(super) fn grid(&self, kernel: &[usize]) -> Result<Grid, String> {
        const LIMIT: usize = 4_096;
        let rank = kernel.len();
        let of = |name: &str, sizes: &Option<Vec<usize>>, default: usize, count: usize| match sizes
        {
            None => Ok(vec![default; count]),
            Some(sizes) if sizes.len() == count && sizes.iter().all(|size| *size <= LIMIT) => {
                Ok(sizes.clone())
            }
            Some(sizes) => Err(format!(
                "has {name} {sizes:?}, but needs {count}, each at most {LIMIT}"
            )),
        };
        let strides = of("strides", &self.strides, 1, rank)?;
        let dilations = of("dilations", &self.dilations, 1, rank)?;
        let pads = if self.valid { None } else { self.pads.clone() };
        let pads = of("pads", &pads, 0, 2 * rank)?;
        if kernel
            .iter()
            .chain(&strides)
            .chain(&dilations)
            .any(|size| *size == 0)
        {
            return Err("has a kernel, stride or dilation of zero".to_owned());
        }
        let (before, after) = pads.split_at(rank);
        let two = |sizes: &[usize], one: usize| match *sizes {
            [width] => Ok([one, width]),
            [height, width] => Ok([height, width]),
            _ => Err(format!(
                "has a kernel over {rank} axes, but must have one or two"
            )),
        };
        Ok(Grid {
            kernel: two(kernel, 1)?,
            stride: two(&strides, 1)?,
            dilation: two(&dilations, 1)?,
            before: two(before, 0)?,
            after: two(after, 0)?,
        })
    }
}

// === impl Grid ===

impl Grid {
    /// Of single pixels.
    pub(super) const PLAIN: Self = Self {
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        before: [0, 0],
        after: [0, 0],
    };

    /// The size of the output along both axes; `ceil` counts a last window that
    /// is only partly inside.
    ///
    /// # Errors
    /// An image that is smaller than the kernel.
    pub(super) fn output(&self, size: [usize; 2], ceil: bool) -> Result<[usize; 2], String> {
        let mut output = [0; 2];
        let axes = self.kernel.iter().zip(self.stride).zip(self.dilation);
        let pads = self.before.iter().zip(self.after);
        for ((output, size), (((kernel, stride), dilation), (before, after))) in
            output.iter_mut().zip(size).zip(axes.zip(pads))
        {
            let reach = (kernel - 1) * dilation + 1;
            let room = (size + before + after).checked_sub(reach).ok_or_else(|| {
                format!("has a kernel of {reach}, which is larger than its image of {size}")
            })?;
            *output = room / stride + 1;
            // A window must begin inside the image or the padding before it.
            if ceil && room % stride != 0 && *output * stride < size + before {
                *output += 1;
            }
        }
        Ok(output)
    }

    pub(super) fn is_plain(&self) -> bool {
        (self.kernel, self.stride) == ([1, 1], [1, 1])
            && (self.before, self.after) == ([0, 0], [0, 0])
    }
}
