//! `synchrotron top`: what an engine does, as it does it.

mod sample;
mod screen;

use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use serde_json::Value;

use crate::engine::Engine;
use sample::Sample;
use screen::Screen;

/// Options of `top`.
#[derive(Args)]
pub(crate) struct Top {
    #[command(flatten)]
    engine: Engine,
    /// Seconds between two looks, 0.1 to 60.
    #[arg(long, short = 'd', default_value_t = 1.0)]
    interval: f64,
    /// End after this many intervals.
    #[arg(long, short = 'n')]
    count: Option<u64>,
}

/// Runs until it is told to stop. On a terminal a screen, elsewhere a line for each interval.
pub(crate) fn run(options: &Top, json: bool) -> anyhow::Result<()> {
    if !(0.1..=60.0).contains(&options.interval) {
        bail!("--interval {}: 0.1 to 60 seconds are possible", options.interval);
    }
    let mut watch = Watch::start(&options.engine)?;
    if json || !std::io::stdout().is_terminal() {
        return lines(&mut watch, options, json);
    }
    let mut terminal = ratatui::try_init()?;
    let ended = show(&mut terminal, &mut watch, options);
    ratatui::restore();
    ended
}

/// An engine, and what it said last.
struct Watch<'a> {
    engine: &'a Engine,
    last: Value,
    at: Instant,
}

impl<'a> Watch<'a> {
    fn start(engine: &'a Engine) -> anyhow::Result<Self> {
        Ok(Self { engine, last: engine.status()?, at: Instant::now() })
    }

    /// What happened since the last look.
    fn look(&mut self) -> anyhow::Result<Sample> {
        let (now, status) = (Instant::now(), self.engine.status()?);
        let sample = Sample::between(&self.last, &status, (now - self.at).as_secs_f64());
        (self.last, self.at) = (status, now);
        Ok(sample)
    }
}

fn lines(watch: &mut Watch<'_>, options: &Top, json: bool) -> anyhow::Result<()> {
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 {
        thread::sleep(Duration::from_secs_f64(options.interval));
        let sample = watch.look()?;
        match json {
            true => println!("{}", serde_json::to_string(&sample)?),
            false => println!("{}", screen::line(&sample)),
        }
        left -= 1;
    }
    Ok(())
}

/// An engine that is gone is waited for: that is when somebody looks.
fn show(
    terminal: &mut ratatui::DefaultTerminal,
    watch: &mut Watch<'_>,
    options: &Top,
) -> anyhow::Result<()> {
    let interval = Duration::from_secs_f64(options.interval);
    let mut screen = Screen::default();
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 {
        terminal.draw(|frame| screen.draw(frame))?;
        if stopped_within(interval, &mut screen)? {
            break;
        }
        match watch.look() {
            Ok(sample) => screen.take(sample),
            Err(error) => screen.lose(format!("{error:#}")),
        }
        left -= 1;
    }
    Ok(())
}

/// Whether somebody asked to stop before the interval was over.
fn stopped_within(interval: Duration, screen: &mut Screen) -> anyhow::Result<bool> {
    let end = Instant::now() + interval;
    while event::poll(end.saturating_duration_since(Instant::now()))? {
        let Event::Key(key) = event::read()? else { continue };
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(true),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(true),
            KeyCode::Char(' ') => screen.hold(),
            _ => {}
        }
    }
    Ok(false)
}
