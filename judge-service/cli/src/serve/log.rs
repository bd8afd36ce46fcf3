//! What the judge says while it runs: lines for people, or an object a line for programs.
//! Built with `otel`, it also sends traces, if it is told where to.

use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Where OpenTelemetry's own variables say that traces go.
const COLLECTORS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// On standard error; `RUST_LOG` says what. Traces that are still here are sent when what
/// it returns is dropped.
///
/// # Errors
/// A collector that cannot be one.
pub fn start(format: Format) -> Result<traces::Sender, String> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,sqlx=warn".into());
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        // Colours are for a terminal, and not for a file.
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    let wanted = COLLECTORS
        .iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let (layer, sender) = match wanted {
        None => (None, traces::Sender::default()),
        Some(variable) => traces::layer(variable)?,
    };
    Registry::default()
        .with(layer)
        .with(lines.with_filter(filter))
        .init();
    if let Some(variable) = wanted
        && !cfg!(feature = "otel")
    {
        tracing::warn!(
            "{variable} is set, but this serinus was built without traces; one that was built with `--features otel` sends them"
        );
    }
    Ok(sender)
}

#[cfg(feature = "otel")]
mod traces {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry::{KeyValue, global};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use serinus_judge::TRACES;
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::{Layer, Registry};

    #[derive(Default)]
    pub struct Sender(Option<SdkTracerProvider>);

    pub type Spans = Option<Box<dyn Layer<Registry> + Send + Sync>>;

    pub fn layer(variable: &str) -> Result<(Spans, Sender), String> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .build()
            .map_err(|error| format!("{variable}: {error}"))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        // OTEL_SERVICE_NAME says another name.
        let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
        let resource = Resource::builder().with_attribute(version);
        let resource = if named {
            resource
        } else {
            resource.with_service_name("serinus")
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("serinus"))
            .with_filter(Targets::new().with_target(TRACES, LevelFilter::DEBUG));
        Ok((Some(layer.boxed()), Sender(Some(provider))))
    }

    impl Drop for Sender {
        fn drop(&mut self) {
            let ended = self.0.as_ref().map(SdkTracerProvider::shutdown);
            if let Some(Err(error)) = ended {
                tracing::warn!(%error, "the last traces were not sent");
            }
        }
    }
}

#[cfg(not(feature = "otel"))]
mod traces {
    use tracing_subscriber::{Layer, Registry};

    #[derive(Default)]
    pub struct Sender(());

    pub type Spans = Option<Box<dyn Layer<Registry> + Send + Sync>>;

    pub fn layer(_: &str) -> Result<(Spans, Sender), String> {
        Ok((None, Sender(())))
    }
}
