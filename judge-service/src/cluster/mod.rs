//! Several judges on one database: all take reports and give plans out, one judges.
//!
//! Who judges is said by a lease in the database, of a few seconds by the database's
//! own time. Each of its commits proves the lease's fencing token, so a judge that was
//! frozen while another took over can finish nothing that it had begun. One that does
//! not judge posts the reports that it takes as letters in the database, which are as
//! durable as sums are, and whoever judges counts them.
//!
//! Knows no HTTP: [`crate::api`] asks a [`Member`] for its [`Role`].

mod follower;
mod member;

pub use follower::Follower;
pub use member::{Member, Role};
