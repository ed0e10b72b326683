package certify_test

import (
	"slices"
	"testing"

	"crisol/internal/certify"
	"crisol/internal/random"
)

// alarm and warning are the levels of experiment.Design.
const alarm, warning = 1500, 200

// reaches returns the number of labels of the given risk until the detector reaches the level; at most most.
func reaches(d *certify.ShiryaevRoberts, r *random.Stream, risk, level float64, most int) int {
	for n := range most {
		d.Observe(r.Float64() < risk, 1)
		if d.Value() >= level {
			return n + 1
		}
	}
	return most
}

func newDetector(t testing.TB, alpha float64) *certify.ShiryaevRoberts {
	t.Helper()
	d, err := certify.NewShiryaevRoberts(alpha)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

// TestJumpIsDetected: the risk jumps to three times alpha after the given number of labels at half of alpha.
func TestJumpIsDetected(t *testing.T) {
	const runs = 1000
	for _, c := range []struct {
		alpha  float64
		before int
	}{{0.05, 0}, {0.05, 200}, {0.02, 200}, {0.02, 1000}} {
		var alarms, warnings []int
		for run := range runs {
			r, d := random.New(21, uint64(run)), newDetector(t, c.alpha)
			if n := reaches(d, r, c.alpha/2, alarm, c.before); d.Value() >= alarm || n != c.before {
				continue // a false alarm
			}
			first := reaches(d, r, 3*c.alpha, warning, 5000)
			warnings = append(warnings, first)
			if d.Value() < alarm {
				first += reaches(d, r, 3*c.alpha, alarm, 5000)
			}
			alarms = append(alarms, first)
		}
		slices.Sort(alarms)
		slices.Sort(warnings)
		n := len(alarms)
		t.Logf("alpha %g, %d labels before: %d false alarms; after the jump a warning in %d labels (median), an alarm in %d (median), %d (90 %%)",
			c.alpha, c.before, runs-n, warnings[n/2], alarms[n/2], alarms[n*9/10])
		if n < runs*95/100 || alarms[n/2] > 100 {
			t.Errorf("alpha %g, %d labels before: %d of %d runs, an alarm in %d labels (median), want at most 100", c.alpha, c.before, n, runs, alarms[n/2])
		}
	}
}

// TestFalseAlarms: the mean number of labels until one is at least the level at risk alpha, and far more at half of it.
func TestFalseAlarms(t *testing.T) {
	const runs = 300
	for _, alpha := range []float64{0.02, 0.05} {
		total, within := 0, 0
		for run := range runs {
			r := random.New(22, uint64(run))
			total += reaches(newDetector(t, alpha), r, alpha, alarm, 20*alarm)
			if d := newDetector(t, alpha); reaches(d, r, alpha/2, alarm, 2000) < 2000 || d.Value() >= alarm {
				within++
			}
		}
		t.Logf("alpha %g: an alarm every %d labels at risk alpha (mean); at half of alpha %d of %d runs have one within 2000 labels", alpha, total/runs, within, runs)
		if total/runs < alarm {
			t.Errorf("alpha %g: a false alarm every %d labels, want %d", alpha, total/runs, alarm)
		}
		if within > runs/10 {
			t.Errorf("alpha %g, risk %g: %d of %d runs have a false alarm within 2000 labels", alpha, alpha/2, within, runs)
		}
	}
}

func TestDetectorFailsClosed(t *testing.T) {
	var zero certify.ShiryaevRoberts
	zero.Observe(true, 1)
	if zero.Value() != 0 {
		t.Error("the zero value detects")
	}
	d, plain := newDetector(t, 0.05), newDetector(t, 0.05)
	d.Observe(false, 0)
	plain.Observe(true, 1)
	if d.Value() != plain.Value() {
		t.Errorf("a right label of weight 0 leads to %g", d.Value())
	}
	if n := reaches(d, random.New(1), 1, alarm, 100); n >= 10 {
		t.Errorf("%d errors in a row are needed for an alarm", n)
	}
}
