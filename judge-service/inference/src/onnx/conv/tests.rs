use super::super::values::make;
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

/// candle's own convolution is the other implementation.
#[test]
fn convolutions_are_candles() {
    let cases = [
        (1, 1, 1, [1, 1], 0, 1, [3, 3]),
        (3, 4, 1, [1, 1], 1, 1, [3, 3]),
        (4, 6, 1, [2, 2], 1, 1, [3, 3]),
        (4, 6, 2, [1, 1], 2, 1, [5, 5]),
        (4, 4, 4, [1, 1], 1, 1, [3, 3]),
        (3, 5, 1, [1, 1], 2, 2, [3, 3]),
        (3, 5, 1, [1, 1], 0, 1, [1, 1]),
    ];
    for (channels, outputs, groups, strides, pad, dilation, kernel) in cases {
        let x = ramp(&[5, channels, 9, 9]);
        let weight = ramp(&[outputs, channels / groups, kernel[0], kernel[1]]);
        let right = x
            .conv2d(&weight, pad, strides[0], dilation, groups)
            .unwrap();
        let conv = Conv::new(
            &window(strides, [pad; 4], [dilation; 2]),
            groups,
            &weight,
            None,
        )
        .unwrap();
        let found = conv.run(&x).unwrap();
        assert_eq!(found.dims(), right.dims());
        let difference = (found.contiguous().unwrap() - right)
            .unwrap()
            .abs()
            .unwrap();
        let largest = difference
            .flatten_all()
            .unwrap()
            .max(0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!(largest < 1e-3, "{channels} {outputs} {groups}: {largest}");
    }
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
