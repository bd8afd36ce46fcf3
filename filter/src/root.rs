//! The root context: configuration, and the tick that drives the judge link.

use crate::host;
use crate::judge_link::{JudgeLink, Source};
use crate::plans;
use crate::stream::Stream;
use crate::worker;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use serinus_core::json::FieldError;
use serinus_core::settings::{self, Configuration, Settings};
use std::rc::Rc;
use std::time::Duration;

/// How often the judge link looks at what is due. Reports go at the plan's
/// interval and a poll is answered by the judge, so this bounds only delays.
const TICK: Duration = Duration::from_millis(100);

/// The first look, by which the judge learns that a plan has arrived. Not at once: a
/// configuration is first tried in a VM that nobody must hear of.
const FIRST_TICK: Duration = Duration::from_millis(1);

#[derive(Default)]
pub struct Root {
    settings: Rc<Settings>,
    link: Option<JudgeLink>,
    /// Counts the root contexts of a VM from 1.
    number: u32,
    ticked: bool,
}

impl Context for Root {
    fn on_http_call_response(
        &mut self,
        token: u32,
        num_headers: usize,
        body_size: usize,
        _num_trailers: usize,
    ) {
        if let Some(link) = &mut self.link {
            link.on_answer(token, num_headers, body_size);
        }
    }
}

/// Envoy never removes the timer of a root context that was replaced. (`on_done` would
/// be the place, but every request would pay for its export.)
impl Drop for Root {
    fn drop(&mut self) {
        let _ = hostcalls::set_tick_period(Duration::ZERO);
    }
}

impl Root {
    fn configure(&mut self) -> Result<(), FieldError> {
        let Configuration {
            settings,
            plan,
            ignored,
        } = settings::read(self.get_plugin_configuration().as_deref())?;
        let settings = Rc::new(settings);
        self.settings = Rc::clone(&settings);
        self.link = worker::with(|worker| {
            worker.roots = worker.roots.wrapping_add(1);
            self.number = worker.roots;
            let source = match plan {
                None => Source::Poll,
                Some(_) => Source::Configuration,
            };
            let refused = plan.and_then(|compiled| {
                // As if the judge had said so: it did, to whoever configured this proxy.
                if worker.heard_us == 0 {
                    worker.heard_us = host::now_us();
                }
                plans::swap_in(worker, &settings, compiled, &ignored).err()
            });
            if let Some(problem) = &refused {
                plans::log_refusal(problem);
            }
            let judge = settings.judge.clone()?;
            Some(JudgeLink::new(judge, settings, source, refused))
        })
        .flatten();
        self.ticked = false;
        let period = if self.link.is_some() {
            FIRST_TICK
        } else {
            Duration::ZERO
        };
        let _ = hostcalls::set_tick_period(period);
        Ok(())
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match self.configure() {
            Ok(()) => true,
            Err(error) => {
                host::log(
                    LogLevel::Error,
                    &format!("serinus: the plugin configuration is refused: {error}"),
                );
                false
            }
        }
    }

    fn on_tick(&mut self) {
        // A root context lives as long as the last stream that began under it. From the
        // next configuration on the newer one makes the calls: what waits for an answer
        // here is sent again there.
        if worker::with(|worker| worker.roots != self.number) == Some(true) {
            self.link = None;
            let _ = hostcalls::set_tick_period(Duration::ZERO);
            return;
        }
        if !self.ticked {
            self.ticked = true;
            let _ = hostcalls::set_tick_period(TICK);
        }
        if let Some(link) = &mut self.link {
            link.on_tick();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(Rc::clone(&self.settings))))
    }
}
