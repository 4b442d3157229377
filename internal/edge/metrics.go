package edge

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parvis"
)

// Metrics counts what happens. The labels are the words of the house: the
// kinds of events, the reasons, the entrances.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	events   *prometheus.CounterVec
	refusals *prometheus.CounterVec
}

// NewMetrics prepares the counters.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parvis_requests_total", Help: "Requests answered by the portal, by entrance and status.",
		}, []string{"channel", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "parvis_request_seconds", Help: "Time to answer a request of the portal.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5},
		}, []string{"channel"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parvis_events_total", Help: "Events recorded, by kind. A try at a password is written down as failed before it is examined, " +
				"so it counts as sign_in.tried; those that failed are sign_in.tried less sign_in.ok.",
		}, []string{"kind"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parvis_refusals_total", Help: "Refusals, by reason, application and entrance.",
		}, []string{"reason", "app", "channel"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.events, m.refusals,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// tried counts what is recorded as failed before anybody knows: most of it
// turns out right, and the event that takes it back is sign_in.ok.
const tried = "sign_in.tried"

// Follow counts committed events; give it to the store.
func (m *Metrics) Follow(events []parvis.Event) {
	for _, ev := range events {
		kind := ev.Kind
		if kind == "sign_in.failed" {
			kind = tried
		}
		m.events.WithLabelValues(kind).Inc()
		for _, why := range ev.Reasons {
			m.refusals.WithLabelValues(string(why), string(ev.App), string(ev.Channel)).Inc()
		}
	}
}

// Handler serves the counters in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *Metrics) observe(ch parvis.Channel, status int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(string(ch), statusText(status)).Inc()
	m.seconds.WithLabelValues(string(ch)).Observe(took.Seconds())
}
