//! The few WASI functions that Envoy gives to a module and a Rust build imports.

use wasmtime::{Linker, Result, bail};

use super::memory::Guest;
use super::state::{Log, State};

const MODULE: &str = "wasi_snapshot_preview1";
const SUCCESS: u32 = 0;

pub fn define(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "random_get",
        |caller: Caller<'_>, at: u32, size: u32| {
            let mut guest = entered(caller, "random_get");
            let bytes = guest.state().random_bytes(size);
            guest.write(at, &bytes).map(|()| SUCCESS)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |caller: Caller<'_>, clock: u32, _precision: u64, at: u32| {
            let mut guest = entered(caller, "clock_time_get");
            let state = guest.state();
            let now = match clock {
                0 => state.wall_clock(),
                _ => state.now,
            };
            guest.write(at, &now.to_le_bytes()).map(|()| SUCCESS)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |caller: Caller<'_>, descriptor: u32, vectors: u32, count: u32, written: u32| {
            let mut guest = entered(caller, "fd_write");
            let mut text = Vec::new();
            for index in 0..count {
                let vector = guest.read(vectors + index * 8, 8)?;
                let word = |at: usize| -> u32 {
                    vector[at..at + 4]
                        .iter()
                        .rev()
                        .fold(0, |word, byte| word << 8 | u32::from(*byte))
                };
                text.extend(guest.read(word(0), word(4))?);
            }
            guest.write(written, &(text.len() as u32).to_le_bytes())?;
            // Envoy logs standard output at info and standard error at error.
            let level = if descriptor == 2 { 4 } else { 2 };
            let text = String::from_utf8_lossy(&text).into_owned();
            guest.state().logs.push(Log { level, text });
            Ok(SUCCESS)
        },
    )?;
    for name in ["environ_sizes_get", "args_sizes_get"] {
        linker.func_wrap(
            MODULE,
            name,
            move |caller: Caller<'_>, count: u32, size: u32| {
                let mut guest = entered(caller, name);
                guest.write(count, &0u32.to_le_bytes())?;
                guest.write(size, &0u32.to_le_bytes()).map(|()| SUCCESS)
            },
        )?;
    }
    for name in ["environ_get", "args_get"] {
        linker.func_wrap(MODULE, name, move |caller: Caller<'_>, _: u32, _: u32| {
            entered(caller, name);
            SUCCESS
        })?;
    }
    linker.func_wrap(MODULE, "sched_yield", |caller: Caller<'_>| {
        entered(caller, "sched_yield");
        SUCCESS
    })?;
    linker.func_wrap(
        MODULE,
        "proc_exit",
        |_: Caller<'_>, code: u32| -> Result<()> { bail!("the filter called proc_exit({code})") },
    )?;
    Ok(())
}

type Caller<'a> = wasmtime::Caller<'a, State>;

fn entered<'a>(caller: Caller<'a>, name: &'static str) -> Guest<'a> {
    let mut guest = Guest(caller);
    *guest.state().calls.entry(name).or_default() += 1;
    guest
}
