'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')
const serve = require('./serve')

benign(async t => {
  await serve(t)
  await t.serves('public')
  assert.match((await t.request({ path: '/sub/site.css' })).headers['content-type'], /^text\/css/)
  assert.deepStrictEqual(await t.get('/'), { status: 200, body: '<h1>welcome</h1>\n' })
  assert.strictEqual((await t.get('/sub/no-such.css')).status, 404)
})
