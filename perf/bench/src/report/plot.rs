//! Curves as SVG.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

/// Width and height in pixels; it scales with the page.
const SIZE: (u32, u32) = (760, 460);

/// Where title and legend stand, in pixels.
const TITLE_LEFT_PIXELS: i32 = 14;
const TITLE_TOP_PIXELS: i32 = 10;
const HEAD_PIXELS: i32 = 38;
const LEGEND_ROW_PIXELS: i32 = 20;
const SAMPLE_PIXELS: i32 = 22;

/// Names of curves beside each other.
const LEGEND_COLUMNS: i32 = 3;

/// Who a curve is of: each has one colour in all plots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Synchrotron,
    Corosync,
    /// What the model predicts.
    Model,
}

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) of: Of,
    /// Curves of the same engine, told apart by their strokes.
    pub(super) variant: usize,
    /// In the order of x.
    pub(super) points: Vec<(f64, f64)>,
    /// At some points, from the least to the greatest that was seen.
    pub(super) spreads: Vec<(f64, f64, f64)>,
    /// Whether its points are marked: few measured ones, as opposed to a continuous record.
    pub(super) is_marked: bool,
}

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
    /// Logarithmic, in bytes.
    Bytes,
    /// Of `1 / (1 - quantile)`: 90 %, 99 %, 99.9 % at equal distances.
    Percentile,
}

/// An axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) scale: Scale,
    /// Values with a line and a label; chosen from the data if there are none.
    pub(super) marks: Vec<f64>,
}

/// Curves over the same axes.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// Name of its file.
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) curves: Vec<Curve>,
}

/// An axis with its range and its lines.
struct Divided {
    scale: Scale,
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

impl Ranged for Divided {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let place = |value: f64| match self.scale {
            Scale::Linear => value,
            _ => value.max(f64::MIN_POSITIVE).ln(),
        };
        let (low, high) = (place(self.low), place(self.high));
        let share = (place(*value) - low) / (high - low).max(f64::MIN_POSITIVE);
        start + (share.clamp(0.0, 1.0) * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light lines in between are not wanted.
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Divided {
    fn format(value: &f64) -> String {
        short(*value)
    }

    fn format_ext(&self, value: &f64) -> String {
        label(*value, self.scale)
    }
}

impl Curve {
    fn color(&self) -> RGBColor {
        // Distinguishable by people who do not see red and green apart, and dark enough on white.
        let shades = match self.of {
            Of::Synchrotron => {
                [RGBColor(0, 90, 181), RGBColor(64, 140, 210), RGBColor(120, 180, 230), BLACK]
            }
            Of::Corosync => {
                [RGBColor(205, 80, 0), RGBColor(225, 125, 45), RGBColor(240, 170, 105), BLACK]
            }
            Of::Model => [
                RGBColor(90, 90, 90),
                RGBColor(125, 125, 125),
                RGBColor(160, 160, 160),
                RGBColor(60, 60, 120),
            ],
        };
        shades[self.variant % shades.len()]
    }
}

impl Plot {
    /// Whether there is anything to see.
    pub(super) fn has_points(&self) -> bool {
        self.curves.iter().any(|curve| !curve.points.is_empty())
    }

    /// Draws it.
    ///
    /// # Errors
    /// When the library refuses.
    pub(super) fn svg(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        self.draw(&area)?;
        drop(area);
        let head = text.find('>').map_or(0, |end| end + 1);
        text.insert_str(head, &dark_style());
        Ok(text)
    }

    /// Title, and a sample of every curve with its name.
    fn legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> anyhow::Result<()> {
        let title = ("sans-serif", 21).into_font().color(&BLACK);
        let at = (TITLE_LEFT_PIXELS, TITLE_TOP_PIXELS);
        area.draw_text(&self.title, &title, at).map_err(refused)?;
        for (index, curve) in self.curves.iter().enumerate() {
            let (row, column) = (index as i32 / LEGEND_COLUMNS, index as i32 % LEGEND_COLUMNS);
            let left = TITLE_LEFT_PIXELS + column * (SIZE.0 as i32 / LEGEND_COLUMNS - 4);
            let top = HEAD_PIXELS + row * LEGEND_ROW_PIXELS;
            let sample = [(left, top + 7), (left + SAMPLE_PIXELS, top + 7)];
            let stroke = curve.color().stroke_width(3);
            area.draw(&PathElement::new(sample, stroke)).map_err(refused)?;
            let text = ("sans-serif", 16).into_font().color(&BLACK);
            let at = (left + SAMPLE_PIXELS + 6, top);
            area.draw_text(&curve.name, &text, at).map_err(refused)?;
        }
        Ok(())
    }

    fn divided(&self, axis: &Axis, of: impl Fn(&(f64, f64)) -> f64) -> Divided {
        let range = self.range(axis, of);
        Divided { scale: axis.scale, low: range.0, high: range.1, marks: marks(axis, range) }
    }

    /// From the least to the greatest value, with some room.
    fn range(&self, axis: &Axis, of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.curves.iter().flat_map(|curve| &curve.points).map(of);
        let values = values.chain(axis.marks.iter().copied()).filter(|value| value.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        match axis.scale {
            Scale::Linear => (low.min(0.0), high * 1.05),
            Scale::Percentile => (1.0, high.max(10.0)),
            Scale::Log | Scale::Bytes => (low / 1.2, high * 1.3),
        }
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> anyhow::Result<()> {
        let x = self.divided(&self.x, |point| point.0);
        let y = self.divided(&self.y, |point| point.1);
        area.fill(&WHITE).map_err(refused)?;
        let rows = self.curves.len().div_ceil(LEGEND_COLUMNS as usize) as i32;
        let (head, body) = area.split_vertically(HEAD_PIXELS + rows * LEGEND_ROW_PIXELS);
        self.legend(&head)?;
        let mut chart = ChartBuilder::on(&body)
            .margin(10)
            .x_label_area_size(50)
            .y_label_area_size(78)
            .build_cartesian_2d(x, y)
            .map_err(refused)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .label_style(("sans-serif", 16))
            .draw()
            .map_err(refused)?;
        for curve in &self.curves {
            let color = curve.color();
            let stroke = color.stroke_width(2);
            let points = || curve.points.iter().copied();
            if curve.of == Of::Model {
                chart.draw_series(DashedLineSeries::new(points(), 6, 4, stroke)).map(drop)
            } else {
                chart.draw_series(LineSeries::new(points(), stroke)).map(drop)
            }
            .map_err(refused)?;
            if curve.is_marked {
                let dots = points().map(|point| Circle::new(point, 4, color.filled()));
                chart.draw_series(dots).map_err(refused)?;
            }
            let bars = curve.spreads.iter();
            let bars = bars.map(|&(x, low, high)| PathElement::new([(x, low), (x, high)], color));
            chart.draw_series(bars).map_err(refused)?;
        }
        area.present().map_err(refused)
    }
}

/// What each colour is where the reader prefers a dark page.
const DARK: [(&str, &str); 13] = [
    ("#FFFFFF", "#0D1117"),
    ("#000000", "#E6EDF3"),
    ("#E1E1E1", "#2C333B"),
    ("#005AB5", "#4C9BE8"),
    ("#408CD2", "#7FB8F0"),
    ("#78B4E6", "#B4D6F7"),
    ("#CD5000", "#F0883E"),
    ("#E17D2D", "#F5AC78"),
    ("#F0AA69", "#FAD0B0"),
    ("#5A5A5A", "#B8C0C8"),
    ("#7D7D7D", "#98A2AC"),
    ("#A0A0A0", "#7A848E"),
    ("#3C3C78", "#A5A5E8"),
];

/// A style that follows the reader's preference; without it a plot is dark on white.
fn dark_style() -> String {
    let rules: String = DARK
        .iter()
        .map(|(light, dark)| {
            format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
        })
        .collect();
    format!("<style>@media(prefers-color-scheme:dark){{{rules}}}</style>")
}

fn refused<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow::anyhow!("a plot: {error}")
}

/// Where lines are drawn.
fn marks(axis: &Axis, (low, high): (f64, f64)) -> Vec<f64> {
    if !axis.marks.is_empty() {
        return axis.marks.clone();
    }
    match axis.scale {
        Scale::Percentile => (0..9)
            .map(|decade| 10_f64.powi(decade))
            .filter(|mark| (low..=high).contains(mark))
            .collect(),
        Scale::Linear => {
            let step = 10_f64.powf(high.max(1e-9).log10().floor()) / 2.0;
            (0..=20).map(|mark| f64::from(mark) * step).filter(|mark| *mark <= high).collect()
        }
        Scale::Log | Scale::Bytes => {
            let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
            // Few decades have room for lines in between.
            let parts: &[f64] = if high / low < 1e4 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let marks =
                decades.flat_map(|decade| parts.iter().map(move |part| part * 10_f64.powi(decade)));
            marks.filter(|mark| (low..=high).contains(mark)).collect()
        }
    }
}

fn label(value: f64, scale: Scale) -> String {
    match scale {
        Scale::Percentile if value <= 1.0 => "0 %".into(),
        Scale::Percentile => {
            let digits = (value.log10().round() as usize).saturating_sub(2);
            format!("{:.digits$} %", 100.0 - 100.0 / value)
        }
        Scale::Bytes => bytes(value),
        _ => short(value),
    }
}

/// Bytes in words.
pub(super) fn bytes(value: f64) -> String {
    match value {
        size if size >= 1_048_576.0 => format!("{} MiB", size / 1_048_576.0),
        size if size >= 4096.0 => format!("{} KiB", size / 1024.0),
        size => format!("{size} B"),
    }
}

/// A number with two or three digits that count: `320`, `1.4 k`, `64 k`, `5.1 M`.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999.5e6 => (value / 1e9, " G"),
        size if size >= 999.5e3 => (value / 1e6, " M"),
        size if size >= 9999.5 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        0.0 => 0,
        size if size >= 99.5 || (size - size.round()).abs() < 1e-9 => 0,
        size if size >= 9.95 => 1,
        size if size >= 0.0995 => 2,
        _ => 4,
    };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.26, 2.0, 7.26, 64.0, 1400.0, 65536.0, 167_000.0, 5.07e6, 1.2e9];
        let texts: Vec<String> = shown.into_iter().map(short).collect();
        let right = ["0", "0.26", "2", "7.26", "64", "1400", "65.5 k", "167 k", "5.07 M", "1.20 G"];
        assert_eq!(texts, right);
        let labels = [1.0, 10.0, 100.0, 1000.0, 1e4].map(|at| label(at, Scale::Percentile));
        assert_eq!(labels, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn every_colour_has_a_dark_one() {
        let axis = Axis { label: "x", scale: Scale::Linear, marks: Vec::new() };
        let curves = [Of::Synchrotron, Of::Corosync, Of::Model].into_iter().flat_map(|of| {
            (0..4).map(move |variant| Curve {
                name: "c".into(),
                of,
                variant,
                points: vec![(1.0, 10.0), (2.0, 20.0)],
                spreads: vec![(1.0, 9.0, 11.0)],
                is_marked: true,
            })
        });
        let curves = curves.collect();
        let plot = Plot { name: "p", title: "t".into(), x: axis.clone(), y: axis, curves };
        let svg = plot.svg().unwrap();
        let tree = roxmltree::Document::parse(&svg).unwrap();
        for node in tree.descendants() {
            for color in ["fill", "stroke"].into_iter().filter_map(|name| node.attribute(name)) {
                let is_known = color == "none" || DARK.iter().any(|(light, _)| *light == color);
                assert!(is_known, "{color} of {node:?}");
            }
        }
    }

    #[test]
    fn a_plot_is_whole_xml_with_every_curve_by_name() {
        for (x, y) in [
            (Scale::Linear, Scale::Linear),
            (Scale::Percentile, Scale::Log),
            (Scale::Log, Scale::Linear),
        ] {
            let axis = |scale| Axis { label: "of <it>", scale, marks: Vec::new() };
            let curve = |name: &str, of| Curve {
                name: name.into(),
                of,
                variant: 0,
                points: vec![(1.0, 10.0), (100.0, 2000.0)],
                spreads: vec![(1.0, 9.0, 11.0)],
                is_marked: true,
            };
            let curves = vec![curve("ours & co", Of::Synchrotron), curve("model", Of::Model)];
            let plot = Plot { name: "p", title: "a < b".into(), x: axis(x), y: axis(y), curves };
            let svg = plot.svg().unwrap();
            let tree = roxmltree::Document::parse(&svg).unwrap();
            let texts: Vec<String> = tree
                .descendants()
                .filter(|node| node.has_tag_name("text") || node.tag_name().name() == "text")
                .map(|node| node.text().unwrap_or_default().trim().to_owned())
                .collect();
            for text in ["ours & co", "model", "a < b", "of <it>"] {
                assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
            }
        }
    }
}
