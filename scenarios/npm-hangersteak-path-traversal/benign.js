'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')
const serve = require('./serve')

benign(async t => {
  const port = await serve(t)
  const get = async path => {
    const { status, body } = await t.request({ port, path })
    return { status, body }
  }
  assert.deepStrictEqual(await get('/index.html'), { status: 200, body: '<h1>welcome</h1>\n' })
  assert.deepStrictEqual(await get('/css/site.css'), { status: 200, body: 'h1 { color: teal }\n' })
  assert.deepStrictEqual(await get('/my%20notes..txt'), { status: 200, body: 'what changed\n' })
  assert.strictEqual((await get('/')).body, '<h1>welcome</h1>\n')
  assert.strictEqual((await get('/css/no-such.css')).status, 404)
})
