//! The terminal: taken over for a page, and given back on every way out.

use super::draw::{Line, Style};
use crate::failure::Failure;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};
use std::io::{self, Write};
use std::thread;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

pub enum Event {
    Quit,
    Up,
    Down,
    Enter,
    /// The terminal has another size.
    Redraw,
}

pub struct Screen {
    keys: mpsc::UnboundedReceiver<event::Event>,
    /// Those by which a program is asked to end.
    hang_up: Signal,
    interrupt: Signal,
    terminate: Signal,
}

// === impl Screen ===

impl Screen {
    /// # Errors
    /// A terminal that is none, or gives no keys.
    pub fn open() -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::Failed(format!("failed to take the terminal over: {error}"))
        };
        let [hang_up, interrupt, terminate] = [
            signal(SignalKind::hangup()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ];
        // Else a panic's words would go into the page, and be gone with it.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        let (sender, keys) = mpsc::unbounded_channel();
        let screen = Self {
            keys,
            hang_up: hang_up.map_err(failed)?,
            interrupt: interrupt.map_err(failed)?,
            terminate: terminate.map_err(failed)?,
        };
        // From here on it is dropped on every way out, and gives back what it took.
        enable_raw_mode().map_err(failed)?;
        execute!(io::stdout(), EnterAlternateScreen, Hide).map_err(failed)?;
        // Reading blocks; the thread ends with the process, or with who listens.
        thread::spawn(move || {
            while let Ok(event) = event::read() {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(screen)
    }

    /// # Errors
    /// A terminal that is gone.
    pub fn show(&mut self, lines: impl FnOnce(usize, usize) -> Vec<Line>) -> Result<(), Failure> {
        let draw = || -> io::Result<()> {
            let (width, height) = size()?;
            let mut out = io::BufWriter::new(io::stdout().lock());
            let lines = lines(width.into(), height.into());
            // Line by line over what was there: clearing all first would flicker, and
            // clearing after a full line would take its last character.
            for (row, line) in (0..height).zip(&lines) {
                queue!(out, MoveTo(0, row))?;
                for (style, text) in &line.0 {
                    put(&mut out, *style, text)?;
                }
                if line.length() < usize::from(width) {
                    queue!(out, Clear(ClearType::UntilNewLine))?;
                }
            }
            if let Ok(below) = u16::try_from(lines.len())
                && below < height
            {
                queue!(out, MoveTo(0, below), Clear(ClearType::FromCursorDown))?;
            }
            out.flush()
        };
        draw().map_err(|error| Failure::of_output(&error))
    }

    /// The next key that means something, or a signal to end.
    pub async fn event(&mut self) -> Event {
        loop {
            let event = tokio::select! {
                _ = self.hang_up.recv() => return Event::Quit,
                _ = self.interrupt.recv() => return Event::Quit,
                _ = self.terminate.recv() => return Event::Quit,
                event = self.keys.recv() => event,
            };
            match event {
                // No more keys will come.
                None => return Event::Quit,
                Some(event::Event::Resize(..)) => return Event::Redraw,
                Some(event::Event::Key(key)) => {
                    if let Some(event) = meaning(key) {
                        return event;
                    }
                }
                Some(_) => {}
            }
        }
    }
}

fn meaning(key: KeyEvent) -> Option<Event> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => Some(Event::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Event::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Event::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Event::Down),
        KeyCode::Enter => Some(Event::Enter),
        _ => None,
    }
}

fn put(out: &mut impl Write, style: Style, text: &str) -> io::Result<()> {
    match style {
        Style::Plain => {}
        Style::Bold => queue!(out, SetAttribute(Attribute::Bold))?,
        Style::Faint => queue!(out, SetAttribute(Attribute::Dim))?,
        Style::Good => queue!(out, SetForegroundColor(Color::Green))?,
        Style::Bad => queue!(out, SetForegroundColor(Color::Red))?,
        Style::Chosen => queue!(out, SetAttribute(Attribute::Reverse))?,
    }
    queue!(out, Print(text), SetAttribute(Attribute::Reset), ResetColor)
}

/// The terminal as it was. Nothing can be done about what fails here.
fn give_back() {
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}
