// Package models holds the models that come with Crisol, and the rows that they were trained from.
//
// rows.jsonl.gz has numbers only: features of patches and the verdicts of wargames over them, no code of anybody's.
// `crisol model train --rows models/rows.jsonl.gz --out models` makes the *.model files of it again, byte for byte.
package models

import (
	"embed"
)

// FS holds the *.model files.
//
//go:embed *.model
var FS embed.FS

// Rows is rows.jsonl.gz.
//
//go:embed rows.jsonl.gz
var Rows []byte
