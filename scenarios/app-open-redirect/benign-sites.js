'use strict'
// Full addresses of the library itself and of the shared catalogue.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { ways } = require('./reader')

benign(async t => {
  for (const way of ways) {
    for (const next of ['http://library.example/books?id=3', 'http://catalogue.example/', 'http://catalogue.example/find?q=a@b&from=//library.example#2']) {
      assert.strictEqual((await way(t, next)).lands, next)
    }
  }
})
