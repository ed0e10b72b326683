'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')
const fs = require('fs')
const os = require('os')
require('./arp')

benign(async t => {
  // It reports only devices of a network that the machine is part of.
  os.networkInterfaces = () => ({ eth0: [{ address: '127.0.0.1', netmask: '255.255.255.248', family: 'IPv4', internal: false }] })
  const find = require('local-devices')
  assert.deepStrictEqual(await find('127.0.0.3'), { name: '?', ip: '127.0.0.3', mac: '00:11:22:33:44:55' })
  assert.strictEqual(fs.readFileSync('calls', 'utf8'), '-n 127.0.0.3\n')
})
