//! The policy in situations whose counts are made by rule, not by chance, so that a
//! case either always holds or never does.

mod properties;
mod situation;
mod table;
