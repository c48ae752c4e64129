//! The screen: ring, rates, other nodes, local programs.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table};

use super::sample::{Client, Peer, Sample};

/// Intervals that the curve of the message rate goes back: the columns of a wide terminal.
const HISTORY: usize = 400;

/// What is on the screen.
#[derive(Default)]
pub(crate) struct Screen {
    sample: Option<Sample>,
    /// Messages delivered a second, the newest last.
    history: Vec<u64>,
    lost: Option<String>,
    held: bool,
}

impl Screen {
    /// Shows an interval, unless the picture is held.
    pub(crate) fn take(&mut self, sample: Sample) {
        self.lost = None;
        if self.held {
            return;
        }
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push(sample.rates.messages_delivered as u64);
        self.sample = Some(sample);
    }

    /// Says that the engine does not answer.
    pub(crate) fn lose(&mut self, why: String) {
        self.lost = Some(why);
    }

    /// Holds the picture, or lets it go on.
    pub(crate) fn hold(&mut self) {
        self.held = !self.held;
    }

    /// Draws all of it.
    pub(crate) fn draw(&self, frame: &mut Frame<'_>) {
        let Some(sample) = &self.sample else {
            let text = self.lost.as_deref().unwrap_or("looking ...");
            frame.render_widget(Paragraph::new(text), frame.area());
            return;
        };
        let peers = sample.peers.len() as u16 + 3;
        let areas = Layout::vertical([
            Constraint::Length(3),
            Constraint::Length(7),
            Constraint::Length(6),
            Constraint::Length(peers.min(frame.area().height / 3)),
            Constraint::Min(4),
            Constraint::Length(1),
        ]);
        let [head, curve, rates, peers, clients, foot] = areas.areas(frame.area());
        frame.render_widget(Paragraph::new(self.head(sample)), head);
        self.draw_curve(frame, curve);
        draw_rates(frame, rates, sample);
        draw_peers(frame, peers, &sample.peers);
        draw_clients(frame, clients, &sample.clients);
        frame.render_widget("q leaves, space holds the picture".dim(), foot);
    }

    fn head(&self, sample: &Sample) -> Vec<Line<'static>> {
        let ring = &sample.ring;
        let good = ring.state == "operational" && ring.quorate;
        let colour = if good { Color::Green } else { Color::Yellow };
        let quorate = if ring.quorate { "quorate" } else { "not quorate" };
        let resting = if ring.resting { ", token resting" } else { "" };
        let members: Vec<String> = ring.members.iter().map(u64::to_string).collect();
        let last = match (&self.lost, self.held) {
            (Some(why), _) => Line::from(why.clone()).red(),
            (None, true) => Line::from("held").yellow(),
            (None, false) => Line::from(format!(
                "ring {} since {}, representative {}, rotation {} us (p99.9 {} us), timeout {:.1} ms",
                ring.seq,
                ring.last_cause,
                ring.rep,
                ring.rotation_p50_us,
                ring.rotation_p999_us,
                ring.token_timeout_us as f64 / 1e3,
            )),
        };
        vec![
            Line::from(format!(
                "{} (node {}) of {}   synchrotron {}, pid {}, up {}",
                sample.name,
                sample.node,
                sample.cluster,
                sample.version,
                sample.pid,
                duration(sample.uptime_s),
            ))
            .bold(),
            Line::from(format!(
                "{}, {quorate}{resting}: members {}",
                ring.state,
                members.join(" ")
            ))
            .style(Style::new().fg(colour)),
            last,
        ]
    }

    fn draw_curve(&self, frame: &mut Frame<'_>, area: Rect) {
        let from = self.history.len().saturating_sub(usize::from(area.width.saturating_sub(2)));
        let shown = &self.history[from..];
        let title = format!(
            " messages delivered: {}/s now, {}/s at most ",
            short(shown.last().copied().unwrap_or(0) as f64),
            short(shown.iter().copied().max().unwrap_or(0) as f64),
        );
        let curve = Sparkline::default()
            .block(Block::bordered().title(title))
            .data(shown)
            .style(Style::new().fg(Color::Cyan));
        frame.render_widget(curve, area);
    }
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, sample: &Sample) {
    let r = &sample.rates;
    let rate = |name: &str, value: f64| format!("{name:<17}{:>9}/s", short(value));
    let share = |name: &str, value: f64| format!("{name:<17}{value:>9.1} %");
    let rows = [
        [
            rate("messages sent", r.messages_sent),
            rate("frames sent", r.frames_sent),
            rate("bytes sent", r.bytes_sent),
        ],
        [
            rate("delivered", r.messages_delivered),
            rate("frames delivered", r.frames_delivered),
            rate("bytes received", r.bytes_received),
        ],
        [
            rate("token visits", r.token_visits),
            rate("retransmissions", r.retransmissions),
            rate("datagrams dropped", r.datagrams_dropped),
        ],
        [
            rate("sleeps", r.sleeps),
            rate("slow-reader copies", r.copies_for_slow_readers),
            rate("readers evicted", r.readers_evicted),
        ],
        [
            share("small slots used", sample.pool_small_used_percent),
            share("large slots used", sample.pool_large_used_percent),
            format!("{:<17}{:>9}", "groups", sample.groups),
        ],
    ];
    let rows = rows.map(|cells| Row::new(cells.map(Cell::from)));
    frame.render_widget(Table::new(rows, [Constraint::Length(32); 3]), area);
}

fn draw_peers(frame: &mut Frame<'_>, area: Rect, peers: &[Peer]) {
    let rows = peers.iter().map(|peer| {
        let heard = peer.heard_ms_ago.map_or("never".to_owned(), |ms| format!("{ms} ms ago"));
        let cells = [
            peer.node.to_string(),
            peer.name.clone(),
            peer.address.clone(),
            if peer.member { "member" } else { "away" }.to_owned(),
            heard,
            format!("{}/s", short(peer.frames)),
            peer.drops.to_string(),
        ];
        let style = if peer.member { Style::new() } else { Style::new().fg(Color::Yellow) };
        Row::new(cells.map(Cell::from)).style(style)
    });
    let widths = [6, 20, 26, 8, 14, 10, 8].map(Constraint::Length);
    let head = ["node", "name", "address", "ring", "heard", "frames", "drops"];
    draw_table(frame, area, " other nodes ", Table::new(rows, widths).header(head_row(head)));
}

fn draw_clients(frame: &mut Frame<'_>, area: Rect, clients: &[Client]) {
    let rows = clients.iter().map(|client| {
        let cells = [
            client.session.to_string(),
            client.pid.to_string(),
            client.uid.to_string(),
            client.groups.to_string(),
            short(client.submitted_bytes as f64),
            short(client.backlog_bytes as f64),
            if client.on_delivery_ring { "keeps up" } else { "behind: on copies" }.to_owned(),
        ];
        Row::new(cells.map(Cell::from))
    });
    let widths = [8, 8, 8, 7, 10, 10, 18].map(Constraint::Length);
    let head = ["session", "pid", "user", "groups", "to send", "backlog", "reader"];
    draw_table(frame, area, " programs here ", Table::new(rows, widths).header(head_row(head)));
}

fn head_row<const N: usize>(names: [&'static str; N]) -> Row<'static> {
    Row::new(names).style(Style::new().bold())
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, title: &'static str, table: Table<'_>) {
    frame.render_widget(table.block(Block::bordered().title(title)), area);
}

/// An interval on one line.
pub(crate) fn line(sample: &Sample) -> String {
    let ring = &sample.ring;
    format!(
        "{} members={} quorate={} sent={}/s delivered={}/s frames={}/s rotation={}us retransmissions={}/s dropped={}/s",
        ring.state,
        ring.members.len(),
        ring.quorate,
        short(sample.rates.messages_sent),
        short(sample.rates.messages_delivered),
        short(sample.rates.frames_delivered),
        ring.rotation_p50_us,
        short(sample.rates.retransmissions),
        short(sample.rates.datagrams_dropped),
    )
}

/// A number with three digits and k, M, G.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => return format!("{v:.0}"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{:02} min", seconds % 60),
        (0, _) => format!("{hours}:{minutes:02} h"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::sample::tests::status;
    use super::*;

    fn drawn(screen: &Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn sample() -> Sample {
        Sample::between(&status(5, 0, 0, 0), &status(5, 2_500_000, 30, 0), 1.0)
    }

    #[test]
    fn the_screen_shows_ring_rates_peers_and_programs() {
        let mut screen = Screen::default();
        screen.take(sample());
        let text = drawn(&screen);
        for part in [
            "alpha (node 1) of west",
            "operational, quorate: members 1 2",
            "2.50 M/s now",
            "beta",
            "3 ms ago",
            "never",
            "keeps up",
            "25.0 %",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn an_engine_that_is_gone_is_said_and_what_was_known_stays() {
        let mut screen = Screen::default();
        screen.lose("nobody there".to_owned());
        assert!(drawn(&screen).contains("nobody there"));
        screen.take(sample());
        screen.lose("gone away".to_owned());
        let text = drawn(&screen);
        assert!(text.contains("gone away") && text.contains("beta"), "{text}");
    }

    #[test]
    fn a_held_picture_stays() {
        let mut screen = Screen::default();
        screen.take(sample());
        screen.hold();
        screen.take(Sample::default());
        assert!(drawn(&screen).contains("alpha"));
    }

    #[test]
    fn a_tiny_terminal_is_no_reason_to_fail() {
        let mut screen = Screen::default();
        screen.take(sample());
        for (width, height) in [(1, 1), (20, 5), (300, 3)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| screen.draw(frame)).unwrap();
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 999.0, 1_000.0, 25_600.0, 256_000.0, 6_380_000.0, 1.2e9].map(short);
        assert_eq!(shown, ["0", "999", "1.00 k", "25.6 k", "256 k", "6.38 M", "1.20 G"]);
    }
}
