package diff

// Touched is a file that a candidate changes, whole, on both sides; nil on the side where there is none.
type Touched struct {
	Path          string // relative to the target's tree, slash-separated
	Before, After []byte
}
