'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const dotProp = require('ts-dot-prop')

  const object = { a: { x: 1 }, list: [{ n: 1 }, { n: 2 }] }
  dotProp.set(object, 'a.b.c', 2)
  dotProp.set(object, 'list[1].n', 20)
  dotProp.set(object, 'proto.constructor_name', 'kept')
  assert.deepStrictEqual(object, {
    a: { x: 1, b: { c: 2 } }, list: [{ n: 1 }, { n: 20 }], proto: { constructor_name: 'kept' }
  })
  assert.strictEqual(dotProp.get(object, 'a.b.c'), 2)
  assert.strictEqual(dotProp.has(object, 'a.b.d'), false)
})
