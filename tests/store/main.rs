//! What a store promises, asked of each backend: SQLite's file and a real PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod backend;
mod change;
mod contract;
mod damaged;
mod migrated;
mod overload;
mod remembered;
mod shared;
mod trouble;

/// One test for each promise and backend.
macro_rules! promises {
    ($($room:ident::$promise:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $promise() {
                let mut backend = crate::backend::Backend::sqlite().await;
                crate::$room::$promise(&mut backend).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $promise() {
                let mut backend = crate::backend::Backend::postgres().await;
                crate::$room::$promise(&mut backend).await;
            })*
        }
    };
}

promises! {
    contract::at_first_nothing_is_known,
    contract::what_is_committed_is_loaded,
    contract::rollouts_keep_the_order_of_their_creation,
    contract::sums_are_replaced_and_come_by_epoch,
    contract::lists_of_users_add_up_until_all_come_anew,
    contract::sessions_are_lists_that_replace_each_other,
    contract::a_deleted_rollout_takes_all_of_it_along,
    remembered::what_is_remembered_is_recalled,
    remembered::what_is_old_or_too_much_is_forgotten,
    remembered::what_is_of_deleted_rollouts_goes_in_parts,
    contract::a_change_is_all_or_nothing,
    contract::decisions_are_a_chain_that_stays,
    contract::the_largest_numbers_and_the_oddest_texts_survive,
    contract::a_change_may_be_large,
    contract::the_record_of_deeds_outlives_rollouts,
    contract::what_is_acknowledged_is_there_for_others_at_once,
    damaged::what_is_damaged_is_named,
}
