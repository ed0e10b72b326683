'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async t => {
  await t.serve(8080, () => require('pico-static-server')({ staticPath: 'public', port: 8080 }))
  await t.serves('public')
  assert.deepStrictEqual(await t.get('/sub/site.css?v=1.2'), { status: 200, body: 'h1 { color: teal }\n' })
  assert.deepStrictEqual(await t.get('/'), { status: 200, body: '<h1>welcome</h1>\n' })
  assert.strictEqual((await t.get('/sub/no-such.css')).status, 404)
})
