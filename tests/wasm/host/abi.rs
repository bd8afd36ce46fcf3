//! The host calls of proxy-wasm ABI 0.2.1: arguments are decoded here, and what
//! they do is in the state. Answers are those of Envoy's `Context` and of
//! proxy-wasm-cpp-host's `exports.cc`.

use std::time::Duration;

use wasmtime::{Caller, Linker, Module, Result, bail, format_err};

use super::callouts::Callout;
use super::headers::Headers;
use super::memory::Guest;
use super::state::{Log, State, Status};
use super::streams::{Direction, LocalResponse, MapKind};

/// Why a host call does not succeed: a status for the filter, or an error that
/// ends the VM and reaches the test.
enum Stop {
    Status(Status),
    Error(wasmtime::Error),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Stop {
        Stop::Status(status)
    }
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Stop {
        Stop::Error(error)
    }
}

/// In the ABI but not in this fake: the SDK's dispatcher keeps them imported,
/// so a module must load, and calling one is an error.
const NOT_MODELLED: [&str; 10] = [
    "proxy_grpc_call",
    "proxy_grpc_stream",
    "proxy_grpc_send",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_get_status",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
];

/// Defines host calls that count themselves and answer with a status.
macro_rules! host_calls {
    ($linker:ident, $($name:ident($guest:ident $(, $argument:ident: $type:ty)*) $body:block)*) => {$(
        $linker.func_wrap(
            "env",
            stringify!($name),
            |caller: Caller<'_, State>, $($argument: $type),*| -> Result<u32> {
                let mut entered = Guest(caller);
                *entered.state().calls.entry(stringify!($name)).or_default() += 1;
                let call = |$guest: &mut Guest<'_>| -> Result<(), Stop> { $body };
                match call(&mut entered) {
                    Ok(()) => Ok(Status::Ok as u32),
                    Err(Stop::Status(status)) => Ok(status as u32),
                    Err(Stop::Error(error)) => Err(error.context(stringify!($name))),
                }
            },
        )?;
    )*};
}

pub fn define(linker: &mut Linker<State>, module: &Module) -> Result<()> {
    general(linker)?;
    headers(linker)?;
    bodies(linker)?;
    metrics(linker)?;
    calls(linker)?;
    for import in module.imports().filter(|import| import.module() == "env") {
        if let (Some(name), Some(of)) = (
            NOT_MODELLED.iter().find(|name| **name == import.name()),
            import.ty().func(),
        ) {
            linker.func_new("env", name, of.clone(), move |_, _, _| {
                bail!("the filter called {name}, which this fake host does not model")
            })?;
        }
    }
    Ok(())
}

fn general(linker: &mut Linker<State>) -> Result<()> {
    host_calls! { linker,
        proxy_log(guest, level: u32, text: u32, size: u32) {
            let text = String::from_utf8_lossy(&guest.read(text, size)?).into_owned();
            guest.state().logs.push(Log { level, text });
            Ok(())
        }
        proxy_get_log_level(guest, level: u32) {
            Ok(guest.write(level, &2u32.to_le_bytes())?)
        }
        proxy_get_current_time_nanoseconds(guest, time: u32) {
            let now = guest.state().wall_clock();
            Ok(guest.write(time, &now.to_le_bytes())?)
        }
        proxy_set_tick_period_milliseconds(guest, period: u32) {
            let state = guest.state();
            let (id, now) = (state.root_id(), state.now);
            let root = state.roots.get_mut(&id).ok_or(Status::NotFound)?;
            root.tick_period = u64::from(period) * 1_000_000;
            root.next_tick = now + root.tick_period;
            Ok(())
        }
        proxy_done(guest) {
            let id = guest.state().context();
            guest.state().done.insert(id);
            Ok(())
        }
        proxy_set_effective_context(guest, id: u32) {
            if !guest.state().context_exists(id) {
                return Err(Status::BadArgument.into());
            }
            guest.state().effective = id;
            Ok(())
        }
        proxy_get_property(guest, path: u32, size: u32, return_data: u32, return_size: u32) {
            let path = guest.read(path, size)?;
            let value = guest.state().property(&path).ok_or(Status::NotFound)?;
            Ok(guest.give(&value, return_data, return_size)?)
        }
        proxy_set_property(guest, path: u32, size: u32, value: u32, value_size: u32) {
            let path = String::from_utf8_lossy(&guest.read(path, size)?).replace('\0', ".");
            let value = guest.read(value, value_size)?;
            let stream = guest.state().stream().ok_or(Status::NotFound)?;
            // Envoy keeps what a filter sets apart from its own attributes.
            stream.filter_state.insert(path, value);
            Ok(())
        }
        proxy_get_shared_data(guest, key: u32, size: u32, data: u32, data_size: u32, cas: u32) {
            let key = guest.read(key, size)?;
            let held = guest.state().shared_data.get(&key).cloned();
            let (value, version) = held.ok_or(Status::NotFound)?;
            guest.give(&value, data, data_size)?;
            Ok(guest.write(cas, &version.to_le_bytes())?)
        }
        proxy_set_shared_data(guest, key: u32, size: u32, value: u32, value_size: u32, cas: u32) {
            let (key, value) = (guest.read(key, size)?, guest.read(value, value_size)?);
            Ok(guest.state().set_shared(key, value, cas)?)
        }
        proxy_call_foreign_function(guest, name: u32, size: u32, argument: u32, argument_size: u32,
                                    return_data: u32, return_size: u32) {
            let name = String::from_utf8_lossy(&guest.read(name, size)?).into_owned();
            guest.read(argument, argument_size)?;
            if !guest.state().foreign_functions.contains(name.as_str()) {
                return Err(Status::NotFound.into());
            }
            if name == "clear_route_cache" {
                let stream = guest.state().stream().ok_or(Status::BadArgument)?;
                stream.route_cache_clears += 1;
            }
            Ok(guest.give(&[], return_data, return_size)?)
        }
    }
    Ok(())
}

/// A map that is not there now is BadArgument, from which the SDK panics.
fn open_map<'a>(guest: &'a mut Guest<'_>, kind: u32, write: bool) -> Result<&'a mut Headers, Stop> {
    let kind = MapKind::of(kind).ok_or(Status::BadArgument)?;
    let map = guest.state().map(kind, write);
    Ok(map.ok_or(Status::BadArgument)?)
}

/// A changed request header clears the route cache: this is ABI 0.2.1.
fn changed(guest: &mut Guest<'_>, kind: u32) -> Result<(), Stop> {
    if kind == MapKind::RequestHeaders as u32
        && let Some(stream) = guest.state().stream()
    {
        stream.route_cache_clears += 1;
    }
    Ok(())
}

/// Envoy's release builds forward such bytes, and its codec then resets the
/// stream: for a filter there is no good reason to write them.
fn writable(guest: &mut Guest<'_>, at: u32, size: u32) -> Result<Vec<u8>, Stop> {
    let bytes = guest.read(at, size)?;
    if bytes.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        return Err(format_err!("the filter wrote an invalid header {text:?}").into());
    }
    Ok(bytes)
}

fn headers(linker: &mut Linker<State>) -> Result<()> {
    host_calls! { linker,
        proxy_get_header_map_pairs(guest, kind: u32, return_data: u32, return_size: u32) {
            // A map that is not there gives no pairs, and no error.
            let known = MapKind::of(kind).ok_or(Status::BadArgument)?;
            let map = guest.state().map(known, false);
            let pairs = map.filter(|map| map.len() > 0).map(|map| map.encode());
            Ok(guest.give(&pairs.unwrap_or_default(), return_data, return_size)?)
        }
        proxy_set_header_map_pairs(guest, kind: u32, data: u32, size: u32) {
            let pairs = guest.read(data, size)?;
            let pairs = Headers::decode(&pairs).ok_or_else(|| format_err!("malformed pairs"))?;
            *open_map(guest, kind, true)? = pairs;
            changed(guest, kind)
        }
        proxy_get_header_map_value(guest, kind: u32, key: u32, size: u32, data: u32, data_size: u32) {
            let key = guest.read(key, size)?;
            let value = open_map(guest, kind, false)?.get(&key).map(<[u8]>::to_vec);
            Ok(guest.give(&value.ok_or(Status::NotFound)?, data, data_size)?)
        }
        proxy_add_header_map_value(guest, kind: u32, key: u32, size: u32, value: u32, value_size: u32) {
            let (key, value) = (writable(guest, key, size)?, writable(guest, value, value_size)?);
            open_map(guest, kind, true)?.add(&key, &value);
            changed(guest, kind)
        }
        proxy_replace_header_map_value(guest, kind: u32, key: u32, size: u32, value: u32, value_size: u32) {
            let (key, value) = (writable(guest, key, size)?, writable(guest, value, value_size)?);
            open_map(guest, kind, true)?.set(&key, &value);
            changed(guest, kind)
        }
        proxy_remove_header_map_value(guest, kind: u32, key: u32, size: u32) {
            let key = guest.read(key, size)?;
            open_map(guest, kind, true)?.remove(&key);
            changed(guest, kind)
        }
    }
    Ok(())
}

fn bodies(linker: &mut Linker<State>) -> Result<()> {
    host_calls! { linker,
        proxy_get_buffer_bytes(guest, kind: u32, start: u32, size: u32, data: u32, data_size: u32) {
            let buffer = guest.state().buffer(kind).ok_or(Status::NotFound)?;
            let end = start.checked_add(size).ok_or(Status::BadArgument)?;
            let end = buffer.len().min(end as usize);
            // From behind the end Envoy reads nothing.
            let bytes = buffer.get(start as usize..end).unwrap_or_default().to_vec();
            Ok(guest.give(&bytes, data, data_size)?)
        }
        proxy_set_buffer_bytes(guest, kind: u32, start: u32, size: u32, data: u32, data_size: u32) {
            let bytes = guest.read(data, data_size)?;
            let direction = match kind {
                0 => Direction::Request,
                1 => Direction::Response,
                _ => return Err(Status::BadArgument.into()),
            };
            let stream = guest.state().stream().ok_or(Status::BadArgument)?;
            let body = stream.body(direction).readable_mut().ok_or(Status::BadArgument)?;
            let start = body.len().min(start as usize);
            let end = body.len().min(start.saturating_add(size as usize));
            body.splice(start..end, bytes);
            Ok(())
        }
        proxy_continue_stream(guest, kind: u32) {
            let direction = match kind {
                0 => Direction::Request,
                1 => Direction::Response,
                _ => return Err(Status::BadArgument.into()),
            };
            if let Some(stream) = guest.state().stream() {
                stream.release(direction);
            }
            Ok(())
        }
        proxy_close_stream(guest, kind: u32) {
            if kind > 1 {
                return Err(Status::BadArgument.into());
            }
            if let Some(stream) = guest.state().stream() {
                stream.closed_by_filter = true;
            }
            Ok(())
        }
        proxy_send_local_response(guest, status: u32, details: u32, details_size: u32, body: u32,
                                  body_size: u32, pairs: u32, pairs_size: u32, grpc_status: i32) {
            let details = String::from_utf8_lossy(&guest.read(details, details_size)?).into_owned();
            let body = guest.read(body, body_size)?;
            let pairs = guest.read(pairs, pairs_size)?;
            let headers = Headers::decode(&pairs).ok_or_else(|| format_err!("malformed pairs"))?;
            let stream = guest.state().stream().ok_or(Status::BadArgument)?;
            stream.local_response =
                Some(LocalResponse { status, details, headers, body, grpc_status });
            Ok(())
        }
    }
    Ok(())
}

fn metrics(linker: &mut Linker<State>) -> Result<()> {
    host_calls! { linker,
        proxy_define_metric(guest, kind: u32, name: u32, size: u32, id: u32) {
            let name = String::from_utf8_lossy(&guest.read(name, size)?).into_owned();
            let defined = guest.state().metrics.define(kind, name)?;
            Ok(guest.write(id, &defined.to_le_bytes())?)
        }
        proxy_increment_metric(guest, id: u32, offset: i64) {
            Ok(guest.state().metrics.increment(id, offset)?)
        }
        proxy_record_metric(guest, id: u32, value: u64) {
            Ok(guest.state().metrics.record(id, value)?)
        }
        proxy_get_metric(guest, id: u32, return_value: u32) {
            let value = guest.state().metrics.get(id)?;
            Ok(guest.write(return_value, &value.to_le_bytes())?)
        }
    }
    Ok(())
}

fn calls(linker: &mut Linker<State>) -> Result<()> {
    host_calls! { linker,
        proxy_http_call(guest, cluster: u32, cluster_size: u32, pairs: u32, pairs_size: u32,
                        body: u32, body_size: u32, trailers: u32, trailers_size: u32,
                        timeout: u32, token: u32) {
            let cluster = String::from_utf8_lossy(&guest.read(cluster, cluster_size)?).into_owned();
            let (pairs, trailers) = (guest.read(pairs, pairs_size)?, guest.read(trailers, trailers_size)?);
            let malformed = || format_err!("malformed pairs");
            let callout = Callout {
                id: 0,
                root: guest.state().root_id(),
                cluster,
                headers: Headers::decode(&pairs).ok_or_else(malformed)?,
                body: guest.read(body, body_size)?,
                trailers: Headers::decode(&trailers).ok_or_else(malformed)?,
                timeout: Duration::from_millis(u64::from(timeout)),
                sent_at: guest.state().now,
            };
            let id = guest.state().callouts.dispatch(callout)?;
            Ok(guest.write(token, &id.to_le_bytes())?)
        }
    }
    Ok(())
}
