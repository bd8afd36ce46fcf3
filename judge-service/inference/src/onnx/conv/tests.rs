use super::super::attributes::Attributes;
use super::super::message::{Attribute, Node};
use super::super::pool::PoolKind;
use super::super::values::{make, plain};
use super::*;

fn window(strides: [usize; 2], pads: [usize; 4], dilations: [usize; 2]) -> Window {
    Window {
        kernel: None,
        strides: Some(strides.to_vec()),
        dilations: Some(dilations.to_vec()),
        pads: Some(pads.to_vec()),
        valid: false,
    }
}

fn ramp(dims: &[usize]) -> Tensor {
    let total: usize = dims.iter().product();
    make(
        (0..total).map(|at| ((at * 7) % 11) as f32 - 5.0).collect(),
        dims,
    )
    .unwrap()
}

/// With other numbers than a ramp's small whole ones, which are exact in any order.
fn waves(dims: &[usize]) -> Tensor {
    let total: usize = dims.iter().product();
    make((0..total).map(|at| (at as f32 * 0.7).sin()).collect(), dims).unwrap()
}

fn max_pool(kernel: &[i64], strides: &[i64], ceil: bool) -> Pool {
    let attribute = |name: &str, ints: &[i64]| Attribute {
        name: Some(name.to_owned()),
        ints: ints.to_vec(),
        ..Attribute::default()
    };
    let node = Node {
        attribute: vec![
            attribute("kernel_shape", kernel),
            attribute("strides", strides),
            Attribute {
                name: Some("ceil_mode".to_owned()),
                i: Some(i64::from(ceil)),
                ..Attribute::default()
            },
        ],
        ..Node::default()
    };
    Pool::read(PoolKind::Max, &Attributes::new(&node)).unwrap()
}

/// Where both have NaN they are the same.
fn assert_close(found: &Tensor, right: &Tensor, what: &str) {
    assert_eq!(found.dims(), right.dims(), "{what}");
    let all = |x: &Tensor| read::<f32, _>(&plain(x).unwrap(), <[f32]>::to_vec).unwrap();
    for (at, (found, right)) in all(found).iter().zip(all(right)).enumerate() {
        let same = found.is_nan() && right.is_nan() || *found == right;
        assert!(
            same || (found - right).abs() <= 1e-5 * (1.0 + right.abs()),
            "{what}, number {at}: {found} is not {right}"
        );
    }
}

/// Channels, outputs, groups, stride, padding, dilation and kernel.
type Case = (usize, usize, usize, usize, usize, usize, [usize; 2]);

const CASES: &[Case] = &[
    (1, 1, 1, 1, 0, 1, [3, 3]),
    (1, 16, 1, 1, 1, 1, [3, 3]),
    (3, 4, 1, 1, 1, 1, [3, 3]),
    (3, 33, 1, 2, 3, 1, [7, 7]),
    (3, 20, 1, 4, 0, 1, [4, 4]),
    (4, 6, 1, 2, 1, 1, [3, 3]),
    (4, 6, 2, 1, 2, 1, [5, 5]),
    (4, 4, 4, 1, 1, 1, [3, 3]),
    (4, 8, 4, 2, 1, 1, [3, 3]),
    (3, 5, 1, 1, 2, 2, [3, 3]),
    (3, 5, 1, 1, 0, 1, [1, 1]),
    (3, 5, 1, 2, 0, 1, [1, 1]),
    (15, 17, 1, 1, 1, 1, [3, 3]),
    (16, 32, 1, 1, 1, 1, [3, 3]),
    (16, 48, 1, 1, 0, 1, [2, 5]),
    (17, 50, 1, 2, 1, 1, [3, 3]),
    (32, 40, 1, 3, 2, 2, [3, 3]),
    (32, 64, 2, 1, 1, 1, [3, 3]),
    (48, 16, 1, 1, 0, 1, [1, 1]),
];

fn conv(case: usize) -> (Conv, Tensor) {
    let (channels, outputs, groups, stride, pad, dilation, [height, width]) = CASES[case];
    // Sums of about one, so that a tolerance relative to them says something.
    let depth = channels / groups * height * width;
    let weight = (waves(&[outputs, channels / groups, height, width]) / depth as f64).unwrap();
    let bias = (0..outputs).map(|at| at as f32 / 8.0 - 1.0).collect();
    let window = window([stride; 2], [pad; 4], [dilation; 2]);
    let conv = Conv::new(&window, groups, &weight, Some(bias)).unwrap();
    (conv, weight)
}

/// candle's own convolution is the other implementation.
#[test]
fn convolutions_are_candles() {
    for (case, description) in CASES.iter().enumerate() {
        let &(channels, outputs, groups, stride, pad, dilation, _) = description;
        let (conv, weight) = conv(case);
        let bias = Tensor::new(conv.bias.as_slice(), &candle_core::Device::Cpu).unwrap();
        for size in [[9, 9], [11, 30], [14, 16]] {
            let x = waves(&[3, channels, size[0], size[1]]);
            let right = x.conv2d(&weight, pad, stride, dilation, groups).unwrap();
            let right = right.broadcast_add(&bias.reshape((1, outputs, 1, 1)).unwrap());
            let right = right.unwrap();
            let what = format!("{description:?} of {size:?}");
            assert_close(&conv.run(&x).unwrap(), &right, &what);
            let last = from_channels_last(
                read::<f32, _>(&to_channels_last(&x).unwrap(), <[f32]>::to_vec).unwrap(),
                [3, channels, size[0], size[1]],
            );
            assert_close(&conv.run(&last.unwrap()).unwrap(), &right, &what);
        }
    }
}

/// Joined is as one after the other, whether the windows lie inside or not.
#[test]
fn a_joined_pool_is_a_pool() {
    let pools = [
        max_pool(&[2, 2], &[2, 2], false),
        max_pool(&[2, 2], &[2, 2], true),
        max_pool(&[1, 3], &[2, 1], false),
        max_pool(&[2, 3], &[3, 4], false),
    ];
    let activations = [
        None,
        Some(Activation::Relu),
        Some(Activation::Clip(-0.5, 0.5)),
    ];
    for (case, description) in CASES.iter().enumerate() {
        for size in [[13, 13], [12, 31]] {
            // Numbers that are none, and that are too large, as a layer before may give.
            let x = read::<f32, _>(&waves(&[2, description.0, size[0], size[1]]), |x| {
                let odd = |at: usize| match at % 97 {
                    5 => Some(f32::NAN),
                    40 => Some(f32::INFINITY),
                    _ => None,
                };
                let numbers = x.iter().enumerate();
                numbers.map(|(at, x)| odd(at).unwrap_or(*x)).collect()
            });
            let x = make::<f32>(x.unwrap(), &[2, description.0, size[0], size[1]]).unwrap();
            for (pool, activation) in pools
                .iter()
                .flat_map(|pool| activations.map(|activation| (pool, activation)))
            {
                let (mut alone, _) = conv(case);
                alone.activation = activation;
                let mut joined = alone.clone();
                assert!(joined.pool(pool));
                let right = alone.run(&x).and_then(|y| pool.run(&y)).unwrap();
                let what = format!("{description:?} of {size:?}, {pool:?}, {activation:?}");
                assert_close(&joined.run(&x).unwrap(), &right, &what);
            }
        }
    }
}

#[test]
fn pools_that_share_rows_stay_alone() {
    let (mut conv, _) = conv(0);
    assert!(!conv.pool(&max_pool(&[3, 3], &[2, 2], false)));
    assert!(!conv.pool(&max_pool(&[2], &[2], false)));
    assert!(conv.is_bare());
}

#[test]
fn a_batch_normalisation_is_in_the_weights() {
    for (case, description) in CASES.iter().enumerate() {
        let (mut scaled, _) = conv(case);
        let outputs = description.1;
        let scale: Vec<f32> = (0..outputs).map(|at| 1.5 - at as f32 / 16.0).collect();
        let shift: Vec<f32> = (0..outputs).map(|at| at as f32 / 4.0).collect();
        let x = waves(&[1, description.0, 9, 9]);
        let of = |numbers: &[f32]| make(numbers.to_vec(), &[1, outputs, 1, 1]).unwrap();
        let right = plain(&scaled.run(&x).unwrap()).unwrap();
        let right = right.broadcast_mul(&of(&scale)).unwrap();
        let right = right.broadcast_add(&of(&shift)).unwrap();
        scaled.scale(&scale, &shift);
        assert_close(
            &scaled.run(&x).unwrap(),
            &right,
            &format!("{description:?}"),
        );
    }
}

#[test]
fn one_axis_is_two_of_which_one_is_one() {
    let weight = waves(&[20, 16, 3]);
    let window = Window {
        kernel: None,
        strides: Some(vec![2]),
        dilations: None,
        pads: Some(vec![1, 0]),
        valid: false,
    };
    let mut conv = Conv::new(&window, 1, &weight, None).unwrap();
    let x = waves(&[2, 16, 29]);
    let padded = x.pad_with_zeros(2, 1, 0).unwrap();
    let right = padded.conv1d(&weight, 0, 2, 1, 1).unwrap();
    assert_close(&conv.run(&x).unwrap(), &right, "one axis");
    let pool = max_pool(&[3], &[3], false);
    assert!(conv.pool(&pool));
    assert_close(&conv.run(&x).unwrap(), &pool.run(&right).unwrap(), "pooled");
}

#[test]
fn what_does_not_fit_is_refused() {
    let weight = ramp(&[2, 3, 3, 3]);
    let conv = Conv::new(&window([1, 1], [0; 4], [1, 1]), 1, &weight, None).unwrap();
    assert!(
        conv.run(&ramp(&[1, 2, 9, 9]))
            .unwrap_err()
            .contains("2 channels")
    );
    assert!(
        conv.run(&ramp(&[1, 3, 2, 9]))
            .unwrap_err()
            .contains("larger than its image")
    );
    assert!(
        conv.run(&ramp(&[1, 3, 9]))
            .unwrap_err()
            .contains("must have [n, channels")
    );
    assert!(Conv::new(&window([0, 1], [0; 4], [1, 1]), 1, &weight, None).is_err());
    assert!(Conv::new(&window([1, 1], [0; 4], [1, 1]), 0, &weight, None).is_err());
    assert!(Conv::new(&window([1, 1], [0; 4], [1, 1]), 1, &weight, Some(vec![1.0])).is_err());
}
