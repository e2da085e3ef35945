//! Small charts, drawn here: stacked bars over time, as SVG without script and without styles of its
//! own (the style sheet colours its classes). Beside each stands the same as a table, for those who
//! do not see it.

/// One bar: a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bar {
    /// Under it.
    pub(super) label: String,
    /// When it was, in full.
    pub(super) title: String,
    /// In the order of the chart's kinds.
    pub(super) parts: Vec<u64>,
}

/// A piece of a bar, in units of the view box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) width: u64,
    pub(super) height: u64,
    /// Which kind.
    pub(super) kind: usize,
}

/// Stacked bars.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// What the parts are: class names of the style sheet, and keys of texts.
    pub(super) kinds: &'static [&'static str],
    pub(super) bars: Vec<Bar>,
}

/// The view box.
const WIDTH: u64 = 960;
const HEIGHT: u64 = 180;
/// Between two bars, where there is room.
const GAP: u64 = 3;

impl Chart {
    #[must_use]
    pub(super) fn view_box(&self) -> String {
        format!("0 0 {WIDTH} {HEIGHT}")
    }

    /// The value at the top: the largest bar, and never 0.
    #[must_use]
    pub(super) fn top(&self) -> u64 {
        self.bars.iter().map(|bar| bar.parts.iter().sum()).max().unwrap_or(0).max(1)
    }

    /// Whether there is anything to see.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.bars.iter().all(|bar| bar.parts.iter().all(|part| *part == 0))
    }

    /// Each bar with its pieces, from the bottom up. What is there is seen, however little it is.
    #[must_use]
    pub(super) fn columns(&self) -> Vec<(&Bar, Vec<Rect>)> {
        let (top, slot) = (self.top(), WIDTH / (self.bars.len() as u64).max(1));
        let width = slot.saturating_sub(GAP).max(1);
        let column = |(n, bar)| {
            let bar: &Bar = bar;
            let mut floor = HEIGHT;
            let mut rects = Vec::new();
            for (kind, part) in bar.parts.iter().enumerate().filter(|(_, part)| **part > 0) {
                let height = u64::try_from(u128::from(*part) * u128::from(HEIGHT) / u128::from(top)).unwrap_or(HEIGHT).max(2).min(floor);
                floor -= height;
                rects.push(Rect { x: n * slot, y: floor, width, height, kind });
            }
            (bar, rects)
        };
        (0..).zip(&self.bars).map(column).collect()
    }

    /// Every so many bars carry their label, so that labels do not run into each other.
    #[must_use]
    pub(super) fn label_step(&self) -> usize {
        self.bars.len().div_ceil(8).max(1)
    }

    /// Bars in which there was something.
    #[must_use]
    pub(super) fn rows(&self) -> Vec<&Bar> {
        self.bars.iter().filter(|bar| bar.parts.iter().any(|part| *part > 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chart(parts: Vec<Vec<u64>>) -> Chart {
        let bar = |parts| Bar { label: String::new(), title: String::new(), parts };
        Chart { kinds: &["a", "b", "c"], bars: parts.into_iter().map(bar).collect() }
    }

    #[test]
    fn nothing_draws_nothing() {
        assert!(chart(vec![]).is_empty() && chart(vec![]).columns().is_empty());
        assert!(chart(vec![vec![0, 0, 0]]).is_empty());
        assert!(chart(vec![vec![0, 0, 0]]).columns().iter().all(|(_, rects)| rects.is_empty()));
    }

    proptest! {
        #[test]
        fn every_piece_is_seen_and_inside(parts in prop::collection::vec(prop::collection::vec(any::<u64>().prop_map(|n| n >> 8), 3), 1..200)) {
            let chart = chart(parts);
            for (bar, rects) in chart.columns() {
                prop_assert_eq!(rects.len(), bar.parts.iter().filter(|part| **part > 0).count());
                for rect in &rects {
                    prop_assert!(rect.x + rect.width <= WIDTH && rect.y + rect.height <= HEIGHT && rect.width > 0);
                }
                for pair in rects.windows(2) {
                    prop_assert!(pair[1].y + pair[1].height == pair[0].y);
                }
            }
        }
    }
}
