package experiment

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"crisol"
)

// Coin chooses predictions to be compared. It is a keyed hash of what identifies the request, so that a request that is
// sent again falls as it fell before, on every machine, and nobody without the key can tell which ones are compared. The
// zero value has no key and chooses everything.
type Coin struct{ key []byte }

// leastKey is the least number of bytes of a coin's key.
const leastKey = 16

// NewCoin makes the coin of a secret key of 16 bytes or more.
func NewCoin(key []byte) (Coin, error) {
	if len(key) < leastKey {
		return Coin{}, crisol.Errorf(crisol.KindInput, "coin: a key of %d bytes: want %d or more", len(key), leastKey)
	}
	return Coin{key: append([]byte(nil), key...)}, nil
}

// Flip returns a number in [0, 1), uniform over digests: the first 53 bits of HMAC-SHA256 (RFC 2104). Digest identifies
// the request and the model; with the model in it, what one model's labels were chosen by says nothing of the next one's.
func (c Coin) Flip(digest string) float64 {
	if len(c.key) == 0 {
		return 0
	}
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte("crisol/experiment/1\x00"))
	mac.Write([]byte(digest))
	return float64(binary.BigEndian.Uint64(mac.Sum(nil))>>11) / (1 << 53)
}

// Chooses says whether a prediction of the given propensity is compared.
func (c Coin) Chooses(digest string, propensity float64) bool { return c.Flip(digest) < propensity }

// Design is what is fixed before labels are looked at. The zero value stands for the defaults.
type Design struct {
	// Rate is the share of confident decisions that is compared. 0 means 0.10.
	Rate float64
	// Floor is the least rate that is allowed; a rate below it is refused. 0 means 0.05.
	Floor float64
	// Raised is the rate while a side is watched, or drift was seen. 0 means 0.50.
	Raised float64
	// Alpha is the risk that a side must be shown to stay below, in (0, 1/2); 0.02 and 0.05 are offered. 0 means 0.05.
	Alpha float64
	// Delta is the probability with which a certificate may be wrong. 0 means 0.05: a confidence of 95 %.
	Delta float64
	// Warning and Alarm are how many labels apart, in the mean, a side whose risk stays at alpha is watched and demoted. 0
	// means 200 and 1500: see TestJumpIsDetected in package certify for how soon a rise is noticed.
	Warning, Alarm float64
	// Hold is the longest that a wargame takes. Labels count towards a certificate in the order in which their wargames began,
	// and only once all those that began earlier must be over: trials that run into a deadline are errors and take longest,
	// and a certificate that doesn't wait for them sees too few errors. 0 means not to wait: right only where the time that a
	// wargame takes says nothing about its verdict.
	Hold time.Duration
}

// WithDefaults fills in what is 0, and refuses what makes no sense.
func (d Design) WithDefaults() (Design, error) {
	fill := func(field *float64, value float64) {
		if *field == 0 {
			*field = value
		}
	}
	fill(&d.Floor, 0.05)
	fill(&d.Rate, max(0.10, d.Floor))
	fill(&d.Raised, max(0.50, d.Rate))
	fill(&d.Alpha, 0.05)
	fill(&d.Delta, 0.05)
	fill(&d.Warning, 200)
	fill(&d.Alarm, 1500)
	switch {
	case !(d.Floor > 0 && d.Floor <= d.Rate && d.Rate <= d.Raised && d.Raised <= 1):
		return d, crisol.Errorf(crisol.KindInput, "design: floor %g, rate %g, raised rate %g: want 0 < floor <= rate <= raised rate <= 1", d.Floor, d.Rate, d.Raised)
	case !(d.Alpha > 0 && d.Alpha < 0.5) || !(d.Delta > 0 && d.Delta < 1):
		return d, crisol.Errorf(crisol.KindInput, "design: alpha %g, delta %g: want alpha in (0, 0.5) and delta in (0, 1)", d.Alpha, d.Delta)
	case !(d.Warning > 1 && d.Warning < d.Alarm && d.Alarm <= 1e9):
		return d, crisol.Errorf(crisol.KindInput, "design: warning at %g, alarm at %g: want 1 < warning < alarm <= 1e9", d.Warning, d.Alarm)
	case d.Hold < 0:
		return d, crisol.Errorf(crisol.KindInput, "design: hold %s: want 0 or more", d.Hold)
	}
	return d, nil
}

// Propensity is the probability with which a prediction is compared with a wargame. Where the model's answer isn't given
// (it is unconfident, its side isn't trusted, or the caller wants more), a wargame decides and the comparison is free: 1.
// Raised says that the side is watched, or that drift was seen.
func (d Design) Propensity(decided, raised bool) float64 {
	switch {
	case !decided:
		return 1
	case raised:
		return d.Raised
	default:
		return d.Rate
	}
}
