'use strict'
// A stand-in for arp, which not every machine has: it knows the hardware address of anybody.
// Loaded before the target, it puts itself first on the search path.
const fs = require('fs')

fs.mkdirSync('bin', { recursive: true })
fs.writeFileSync('bin/arp', `#!/bin/sh
echo "$*" >> calls
printf "Address HWtype HWaddress Flags Mask Iface\\n%s ether 00:11:22:33:44:55 C lo\\n" "$2"
`, { mode: 0o755 })
process.env.PATH = `${process.cwd()}/bin:${process.env.PATH}`
