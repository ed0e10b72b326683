'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async t => {
  const Realm = require('realms-shim')
  const realm = Realm.makeRootRealm()
  assert.strictEqual(realm.evaluate('(0, eval)("6 * 7")'), 42)
  assert.strictEqual(realm.evaluate('Function("a", "b", "return a + b")(left, 2)', { left: 1 }), 3)
  assert.strictEqual(realm.evaluate('typeof process + typeof require'), 'undefinedundefined')
  assert.notStrictEqual(realm.evaluate('Object'), Object)
  realm.evaluate('Object.prototype.inside = 1; this.globalThing = 2')
  assert.strictEqual(t.polluted('inside'), undefined)
  assert.strictEqual(realm.global.globalThing, 2)
  assert.strictEqual(Realm.makeRootRealm().evaluate('typeof globalThing + typeof {}.inside'), 'undefinedundefined')
})
