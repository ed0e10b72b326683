'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')
const fs = require('fs')
require('./ping')

// From 3.0.0 on it wants to be connected; the loopback is all there is here.
const loopback = { interfaceFilters: { interface: ['lo'], internal: [true] } }

benign(async t => {
  const Arpping = require('arpping')
  const found = await new Arpping({ timeout: 2, ...loopback }).ping(['127.0.0.1', '127.0.0.2', '127.0.0.9'])
  assert.deepStrictEqual(found.hosts.sort(), ['127.0.0.1', '127.0.0.2'])
  assert.deepStrictEqual(found.missing, ['127.0.0.9'])
  const calls = fs.readFileSync('calls', 'utf8').trim().split('\n').sort()
  assert.deepStrictEqual(calls, ['-w 2 127.0.0.1', '-w 2 127.0.0.2', '-w 2 127.0.0.9'])
})
