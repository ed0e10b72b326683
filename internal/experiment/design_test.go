package experiment_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"crisol/internal/experiment"
)

func coin(t testing.TB, key string) experiment.Coin {
	t.Helper()
	c, err := experiment.NewCoin([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCoin(t *testing.T) {
	c, other := coin(t, "0123456789abcdef"), coin(t, "0123456789abcdeg")
	// HMAC-SHA256 of "crisol/experiment/1\0" and the digest, by Python's hmac module.
	if got, want := c.Flip("request"), 0.6580217902065894; got != want {
		t.Errorf("Flip is %.17g, want %.17g", got, want)
	}
	const flips = 8000
	sum, chosen, both := 0.0, 0, 0
	var tenths [10]int
	for i := range flips {
		digest := fmt.Sprint(i)
		x := c.Flip(digest)
		if !(x >= 0 && x < 1) || x != c.Flip(digest) {
			t.Fatalf("Flip(%s) is %g, and %g when tossed again", digest, x, c.Flip(digest))
		}
		sum += x
		tenths[int(10*x)]++
		if c.Chooses(digest, 0.1) {
			chosen++
			if other.Chooses(digest, 0.1) {
				both++
			}
			if !c.Chooses(digest, 0.5) {
				t.Fatalf("%s is chosen at 10 %% and not at 50 %%", digest)
			}
		}
	}
	if math.Abs(sum/flips-0.5) > 0.01 || math.Abs(float64(chosen)/flips-0.1) > 0.01 || math.Abs(float64(both)/flips-0.01) > 0.005 {
		t.Errorf("of %d flips, mean %g, %d are chosen at 10 %%, %d of them with another key too", flips, sum/flips, chosen, both)
	}
	for i, n := range tenths {
		if math.Abs(float64(n)-flips/10) > 5*math.Sqrt(flips/10) {
			t.Errorf("%d of %d flips are in tenth %d", n, flips, i)
		}
	}
	if !c.Chooses("request", 1) {
		t.Error("a propensity of 1 doesn't choose")
	}
	var none experiment.Coin
	if !none.Chooses("request", 0.001) {
		t.Error("a coin without a key must choose everything")
	}
	if _, err := experiment.NewCoin([]byte("short")); err == nil {
		t.Error("a key of 5 bytes was taken")
	}
}

func TestDesign(t *testing.T) {
	d, err := experiment.Design{}.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		decided, raised bool
		want            float64
	}{{true, false, 0.10}, {true, true, 0.50}, {false, false, 1}, {false, true, 1}} {
		if got := d.Propensity(c.decided, c.raised); got != c.want {
			t.Errorf("decided %v, raised %v: propensity %g, want %g", c.decided, c.raised, got, c.want)
		}
	}
	for name, bad := range map[string]experiment.Design{
		"a rate below the floor":   {Rate: 0.04},
		"a floor of more than all": {Floor: 1.5},
		"a negative floor":         {Floor: -0.1},
		"no number":                {Rate: math.NaN()},
		"raised below the rate":    {Rate: 0.3, Raised: 0.2},
		"alpha of a half":          {Alpha: 0.5},
		"a certain mistake":        {Delta: 1},
		"warning after alarm":      {Warning: 3000},
		"no alarm":                 {Alarm: math.Inf(1)},
		"held for less than none":  {Hold: -time.Second},
	} {
		if _, err := bad.WithDefaults(); err == nil {
			t.Errorf("%s: %+v was taken", name, bad)
		}
		if _, err := experiment.NewTrust(bad); err == nil {
			t.Errorf("%s: a fold by %+v", name, bad)
		}
	}
	if d, err := (experiment.Design{Rate: 0.8}).WithDefaults(); err != nil || d.Raised != 0.8 {
		t.Errorf("a rate of 0.8 gives %+v, %v", d, err)
	}
}
