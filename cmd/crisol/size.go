package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"crisol"
	"crisol/internal/app"
)

const cacheSizeVariable = "CRISOL_CACHE_SIZE"

var (
	sizeForm  = regexp.MustCompile(`^([0-9]{1,12})(B|KiB|MiB|GiB|TiB)?$`)
	sizeUnits = []string{"B", "KiB", "MiB", "GiB", "TiB"}
)

// cacheSize reads --cache-size, else CRISOL_CACHE_SIZE: a number of bytes, with a unit if need be, or none.
func cacheSize(flag string) (int64, error) {
	name, text := "--cache-size", flag
	if text == "" {
		name, text = cacheSizeVariable, os.Getenv(cacheSizeVariable)
	}
	switch text {
	case "":
		return app.DefaultCacheBytes, nil
	case "none":
		return -1, nil
	}
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		return 0, badSize(name, text)
	}
	bytes, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || bytes == 0 {
		return 0, badSize(name, text)
	}
	for _, unit := range sizeUnits {
		if unit == m[2] || m[2] == "" {
			break
		}
		if bytes >= 1<<53 {
			return 0, badSize(name, text)
		}
		bytes <<= 10
	}
	return bytes, nil
}

func badSize(name, text string) error {
	return crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s: %q is not a size", name, text), "write 4GiB, 512MiB, a number of bytes, or none")
}

// spoken renders a size for a person.
func spoken(bytes int64) string {
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(sizeUnits)-1 {
		value, unit = value/1024, unit+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + sizeUnits[unit]
}
