// Package scenarios is the exploit database: one folder a scenario, named by its id. The package only embeds them; the
// room internal/scenario reads them.
package scenarios

import "embed"

// Files holds every scenario's folder, and this file. Two things that a folder may hold do not get in: a folder with a
// go.mod of its own (another module) and symbolic links; a test in internal/scenario finds both.
//
//go:embed all:*
var Files embed.FS
