'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const objnest = require('objnest')

  assert.deepStrictEqual(
    objnest.expand({ 'foo.bar': 'baz', 'foo.deep.er': 1, plain: true, 'proto.constructor_name': 'kept' }),
    { foo: { bar: 'baz', deep: { er: 1 } }, plain: true, proto: { constructor_name: 'kept' } })
  assert.deepStrictEqual(objnest.expand([{ 'a.b': 1 }]), [{ a: { b: 1 } }])
  const nested = { a: { b: { c: 'x' } }, list: [{ d: 1 }, { d: 2 }] }
  assert.deepEqual(objnest.expand(objnest.flatten(nested)), nested)
})
