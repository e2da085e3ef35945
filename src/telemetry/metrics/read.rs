//! The metrics as the process itself reads them: the console's overview shows what dashboards show,
//! and from the same place.
use super::Metrics;
use prometheus::proto::{MetricFamily, MetricType};

/// All series as they stood at one moment.
#[derive(Debug)]
pub struct Snapshot(Vec<MetricFamily>);

/// One series of a counter or gauge.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Metrics {
    /// How all series stand now. Takes about as long as a scrape.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.registry.gather())
    }
}

impl Snapshot {
    /// The series of one counter or gauge; none where no such metric is known.
    #[must_use]
    pub fn samples(&self, name: &str) -> Vec<Sample> {
        let Some(family) = self.0.iter().find(|family| family.name() == name) else { return Vec::new() };
        let is_counter = family.get_field_type() == MetricType::COUNTER;
        let sample = |metric: &prometheus::proto::Metric| Sample {
            labels: metric.get_label().iter().map(|label| (label.name().to_owned(), label.value().to_owned())).collect(),
            value: if is_counter { metric.get_counter().get_value() } else { metric.get_gauge().get_value() },
        };
        family.get_metric().iter().map(sample).collect()
    }

    /// The sum of a metric's series.
    #[must_use]
    pub fn total(&self, name: &str) -> f64 {
        self.samples(name).iter().map(|sample| sample.value).sum()
    }
}

impl Sample {
    /// The value of a label; empty where there is none of that name.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Metrics, Violation};

    #[test]
    fn what_is_read_is_what_was_counted() {
        let metrics = Metrics::new().unwrap();
        metrics.listener("mx").violation(Violation::Smuggling);
        metrics.listener("submission").violation(Violation::Smuggling);
        metrics.certificates("gate", [("fullchain.pem".into(), 1_900_000_000)].into_iter());
        let snapshot = metrics.snapshot();
        let smuggled = |sample: &&super::Sample| sample.label("kind") == "smuggling" && sample.value > 0.0;
        assert_eq!(snapshot.samples("octroi_violations_total").iter().filter(smuggled).count(), 2);
        assert!((snapshot.total("octroi_violations_total") - 2.0).abs() < 0.1);
        let expiry = snapshot.samples("octroi_tls_certificate_expiry_timestamp_seconds");
        assert_eq!(expiry.first().map(|sample| (sample.label("certificate"), sample.value)), Some(("fullchain.pem", 1_900_000_000.0)));
        assert!(snapshot.samples("octroi_nothing_total").is_empty());
    }
}
