//! Plain loops, compiled for the vectors of the machine that they run on.

/// Runs `work` as it was compiled for the widest vectors that there are; what it calls must
/// be inlined into it, or stays as it is.
#[inline(always)]
pub(super) fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
