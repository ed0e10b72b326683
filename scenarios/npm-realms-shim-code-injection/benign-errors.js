'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async t => {
  const realm = require('realms-shim').makeRootRealm()
  const named = source => realm.evaluate(`try { (0, eval)(source) } catch (err) { err.name }`, { source })
  assert.strictEqual(named(Symbol('source')), 'TypeError')
  assert.strictEqual(named('1 <!' + '-- 2'), 'SyntaxError')
  assert.strictEqual(named('missing'), 'ReferenceError')
  assert.strictEqual(named('throw new RangeError("far")'), 'RangeError')
  assert.throws(() => realm.evaluate('null.x'), { name: 'TypeError' })
  assert.throws(() => realm.evaluate('import("fs")'), { name: 'SyntaxError' })
})
