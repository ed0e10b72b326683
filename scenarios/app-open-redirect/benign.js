'use strict'
// A reader goes on to pages of the library, however they look, by each way there is.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { ways } = require('./reader')

const pages = [
  '/', '/books', '/books/@ada/notes', '/books?id=3&sort=title#top', '/search?q=//evil.example', '/search?q=https://evil.example&page=2',
  '/read?then=%2F%2Fcatalogue.example', '/shelves/a%20b/c:d', '/evil.example', '/books/caf%C3%A9'
]

benign(async t => {
  for (const way of ways) {
    for (const next of pages) assert.strictEqual((await way(t, next)).lands, `http://library.example${next}`)
    assert.strictEqual((await way(t, '')).lands, 'http://library.example/')
    assert.strictEqual((await way(t)).lands, 'http://library.example/')
  }
})
