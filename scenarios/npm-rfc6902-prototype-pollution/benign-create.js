'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const { applyPatch, createPatch } = require('rfc6902')
  const before = { a: { b: 1 }, list: [1, 2] }
  const after = { a: { b: 2, c: 3 }, list: [2] }
  assert.deepStrictEqual(applyPatch(before, createPatch(before, after)), [null, null, null])
  assert.deepStrictEqual(before, after)
  const [missing] = applyPatch({}, [{ op: 'remove', path: '/missing' }])
  assert.strictEqual(missing.name, 'MissingError')
})
