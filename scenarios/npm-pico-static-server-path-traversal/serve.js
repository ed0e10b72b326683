'use strict'

// serve starts the server over public/ and resolves to its port.
module.exports = async t => {
  require('pico-static-server')({ staticPath: 'public', port: 8080 })
  await t.ready(8080)
  return 8080
}
