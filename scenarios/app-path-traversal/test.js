'use strict'
// The handbook's own tests: folders, refusals, headers, drafts that are written again.
const { benign } = require('@crisol/trial')
const assert = require('assert')

benign(async t => {
  const get = path => t.request({ path })
  assert.strictEqual((await get('/pages/index.txt')).headers['content-type'], 'text/plain; charset=utf-8')
  assert.strictEqual((await get('/pages/guide')).status, 404)
  assert.strictEqual((await get('/pages/index.txt/more')).status, 404)
  assert.strictEqual((await get('/pages/%E0%A4%A')).status, 400)
  assert.ok((await get('/pages/index.txt%00')).status >= 400)
  assert.strictEqual((await get('/elsewhere')).status, 404)

  assert.strictEqual((await get('/download')).body, 'Welcome to the handbook.\n')
  assert.match((await get('/download?file=guide%2F50%25+off.txt')).headers['content-disposition'], /filename="50%25%20off\.txt"/)
  assert.strictEqual((await get('/download?file=missing.txt')).status, 404)

  assert.strictEqual((await get('/drafts/readme.txt')).body, 'Drafts are written here.\n')
  for (const body of ['one', '']) {
    assert.strictEqual((await t.request({ method: 'PUT', path: '/drafts/again.txt', body })).status, 201)
    assert.strictEqual((await get('/drafts/again.txt')).body, body)
  }
  assert.strictEqual((await t.request({ method: 'DELETE', path: '/drafts/again.txt' })).status, 404)
})
