//! Figures as curves, in SVG: both axes logarithmic, so that a power of n is a straight line and its exponent the slope.

use crate::{
    figures::{Figures, Run},
    fit,
    paper::{self, Point},
    phase::Work,
};
use plotters::{coord::combinators::IntoLogRange, prelude::*};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const SIZE: (u32, u32) = (860, 540);
/// Exponents are fitted from here on: with fewer parties the time is that of a few blocks, whatever n.
const FITTED_FROM: usize = 64;
/// Told apart by people who see fewer colours, too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// One curve.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    style: Style,
}

impl Series {
    fn is_measured(&self) -> bool {
        self.style == Style::Line && !self.points.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// Measured here.
    Line,
    /// Somebody else's point, or how it is said to grow.
    Guide,
}

struct Chart {
    name: String,
    title: String,
    y: &'static str,
    series: Vec<Series>,
}

/// Draws all that the figures allow into `folder`, which is made if it is not there. Returns the files.
///
/// # Errors
/// If they cannot be written.
pub fn draw_all(figures: &Figures, folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut charts: Vec<Chart> = figures.nodes().into_iter().map(|nodes| growth(figures, nodes)).collect();
    charts.push(cpu(figures));
    charts.push(paper_2(figures));
    charts.push(paper_3(figures));
    charts.push(paper_4(figures));
    let mut files = Vec::new();
    for chart in charts.iter().filter(|chart| chart.series.iter().any(Series::is_measured)) {
        let file = folder.join(format!("{}.svg", chart.name));
        fs::write(&file, draw(chart).map_err(io::Error::other)?)?;
        files.push(file);
    }
    Ok(files)
}

/// Wall time of all phases against n.
fn growth(figures: &Figures, nodes: usize) -> Chart {
    let works = Work::ALL.into_iter().filter(|work| *work != Work::Registration);
    let series = works.map(|work| curve(figures, nodes, &work.to_string(), |run| wall(run, &[work])));
    Chart {
        name: format!("growth-{nodes}"),
        title: format!("Wall time against the number of parties, {nodes} nodes"),
        y: "seconds",
        series: series.collect(),
    }
}

/// Processor time of key generation and signing, beside the floor.
fn cpu(figures: &Figures) -> Chart {
    let works = [Work::Generation, Work::Signing];
    let all = |run: &Run| works.iter().map(|work| Some(run.phase(*work)?.cpu.all())).sum::<Option<f64>>();
    let floor =
        |which: usize| move |run: &Run| works.iter().map(|work| Some(run.floor_of(*work)?[which])).sum::<Option<f64>>();
    let mut series: Vec<Series> =
        figures.nodes().into_iter().map(|nodes| curve(figures, nodes, &format!("{nodes} nodes"), all)).collect();
    if let Some(nodes) = figures.nodes().first() {
        series.push(curve(figures, *nodes, "floor with senders' signatures", floor(1)));
        series.push(curve(figures, *nodes, "floor", floor(0)));
    }
    Chart {
        name: "cpu".to_owned(),
        title: "CPU of all processes, key generation and signing".to_owned(),
        y: "CPU seconds",
        series,
    }
}

/// "Running time for varying number of parties": signing, 4 and 16 nodes.
fn paper_2(figures: &Figures) -> Chart {
    let mut series: Vec<Series> = [4, 16]
        .map(|nodes| curve(figures, nodes, &format!("ours, {nodes} nodes"), |run| wall(run, &[Work::Signing])))
        .into();
    series.push(theirs(figures, Work::Signing, |point| point.wall));
    Chart {
        name: "paper-figure-2".to_owned(),
        title: "Signing (the paper's figure 2)".to_owned(),
        y: "seconds",
        series,
    }
}

/// "Running time, normalized by the number of parties. The number of nodes is 16."
fn paper_3(figures: &Figures) -> Chart {
    let ours = |run: &Run| Some(wall(run, &[Work::Signing])? / run.parties as f64);
    let series = vec![
        curve(figures, 16, "ours, 16 nodes", ours),
        theirs(figures, Work::Signing, |point| point.wall / point.parties as f64),
    ];
    Chart {
        name: "paper-figure-3".to_owned(),
        title: "Signing, for each party (the paper's figure 3)".to_owned(),
        y: "seconds for each party",
        series,
    }
}

/// "Comparing DKG and signing protocols using White-City. The number of nodes is 16."
fn paper_4(figures: &Figures) -> Chart {
    let works = [Work::Generation, Work::Signing];
    let ours = works.map(|work| curve(figures, 16, &format!("ours, {work}"), move |run| wall(run, &[work])));
    let theirs = works.map(|work| theirs(figures, work, |point| point.wall));
    Chart {
        name: "paper-figure-4".to_owned(),
        title: "Key generation and signing, 16 nodes (the paper's figure 4)".to_owned(),
        y: "seconds",
        series: ours.into_iter().chain(theirs).collect(),
    }
}

fn wall(run: &Run, works: &[Work]) -> Option<f64> {
    works.iter().map(|work| Some(run.phase(*work)?.wall)).sum()
}

/// A curve over all runs at so many nodes, whose name tells the exponent.
fn curve(figures: &Figures, nodes: usize, name: &str, value: impl Fn(&Run) -> Option<f64>) -> Series {
    let runs = figures.runs.iter().filter(|run| run.nodes == nodes);
    let points: Vec<(f64, f64)> = runs.filter_map(|run| Some((run.parties as f64, value(run)?))).collect();
    let points: Vec<(f64, f64)> = points.into_iter().filter(|point| point.1 > 0.0).collect();
    let many: Vec<(f64, f64)> = points.iter().copied().filter(|point| point.0 >= FITTED_FROM as f64).collect();
    let name = match fit::exponent(&many) {
        Some(exponent) => format!("{name}: n^{exponent:.2}"),
        None => name.to_owned(),
    };
    Series { name, points, style: Style::Line }
}

/// The paper's point, and round it the growth that it states.
fn theirs(figures: &Figures, work: Work, value: fn(&Point) -> f64) -> Series {
    let most = figures.runs.iter().map(|run| run.parties).max().unwrap_or_default();
    let around = |point: &Point| {
        let grown = |n: usize| {
            let wall = point.wall * (n as f64 / point.parties as f64).powf(paper::EXPONENT);
            (n as f64, value(&Point { parties: n, wall, ..*point }))
        };
        [point.parties / 4, point.parties, most.max(point.parties)].map(grown).to_vec()
    };
    let point = paper::POINTS.iter().find(|point| point.work == work);
    let name = format!("the paper, {work}, 16 nodes: n = 512, quadratic");
    Series { name, points: point.map(around).unwrap_or_default(), style: Style::Guide }
}

fn draw(chart: &Chart) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut text = String::new();
    let all = || chart.series.iter().flat_map(|series| &series.points);
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let values = all().map(of);
        (values.clone().fold(f64::MAX, f64::min) / 1.2, values.fold(f64::MIN, f64::max) * 1.2)
    };
    let ((left, right), (bottom, top)) = (bounds(|point| point.0), bounds(|point| point.1));
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut context = ChartBuilder::on(&area)
            .caption(&chart.title, ("sans-serif", 20))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d((left..right).log_scale().base(2.0), (bottom..top).log_scale())?;
        let mut mesh = context.configure_mesh();
        mesh.x_desc("parties").y_desc(chart.y).x_label_formatter(&|n| format!("{n:.0}"));
        mesh.light_line_style(RGBColor(240, 240, 240)).y_label_formatter(&plain).draw()?;
        for (place, series) in chart.series.iter().enumerate().filter(|(_, series)| !series.points.is_empty()) {
            let colour = COLOURS[place % COLOURS.len()];
            let points = series.points.iter().copied();
            let drawn = match series.style {
                Style::Line => context.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?,
                Style::Guide => {
                    context.draw_series(DashedLineSeries::new(points.clone(), 6, 5, colour.stroke_width(1)))?
                }
            };
            drawn
                .label(&series.name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], colour.filled()));
            let marked =
                points.filter(|point| series.style == Style::Line || point.0 == paper::POINTS[0].parties as f64);
            context.draw_series(marked.map(|point| Circle::new(point, 4, colour.filled())))?;
        }
        let mut legend = context.configure_series_labels();
        legend
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.9))
            .border_style(RGBColor(200, 200, 200));
        legend.label_font(("sans-serif", 14)).draw()?;
        area.present()?;
    }
    Ok(text)
}

/// Three digits at most after the point, and no zeros at the end.
fn plain(value: &f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
