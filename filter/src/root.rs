//! The root context: configuration, and the tick that drives the judge link.

use crate::judge_link::JudgeLink;
use crate::settings::{self, Settings};
use crate::stream::Stream;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use std::rc::Rc;
use std::time::Duration;

/// How often the judge link looks at what is due. Reports go at the plan's
/// interval and a poll is answered by the judge, so this bounds only delays.
const TICK: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Root {
    settings: Rc<Settings>,
    link: Option<JudgeLink>,
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

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match settings::read(self.get_plugin_configuration().as_deref()) {
            Ok(settings) => {
                self.settings = Rc::new(settings);
                let judge = self.settings.judge.clone();
                self.link = judge.map(|judge| JudgeLink::new(judge, Rc::clone(&self.settings)));
                let period = if self.link.is_some() {
                    TICK
                } else {
                    Duration::ZERO
                };
                let _ = hostcalls::set_tick_period(period);
                true
            }
            Err(error) => {
                let _ = hostcalls::log(
                    LogLevel::Error,
                    &format!("serinus: the plugin configuration is refused: {error}"),
                );
                false
            }
        }
    }

    fn on_tick(&mut self) {
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
