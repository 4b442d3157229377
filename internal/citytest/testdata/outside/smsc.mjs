// An SMS centre that nobody here wrote (npm smpp). It prints its port, then
// each message it accepted as a line of JSON.
import { createRequire } from 'node:module'
const smpp = createRequire(import.meta.url)('smpp')

const parts = new Map() // of long messages, by reference
const server = smpp.createServer((session) => {
  session.on('error', () => session.close())
  session.on('bind_transceiver', (pdu) => {
    const known = pdu.system_id === 'parvis' && pdu.password === 'smsc-pw'
    session.send(pdu.response(known ? {} : { command_status: smpp.ESME_RBINDFAIL }))
    if (!known) session.close()
  })
  session.on('enquire_link', (pdu) => session.send(pdu.response()))
  session.on('unbind', (pdu) => { session.send(pdu.response()); session.close() })
  session.on('submit_sm', (pdu) => {
    const id = Math.random().toString(16).slice(2, 10)
    session.send(pdu.response({ message_id: id }))
    let text = pdu.short_message.message
    const udh = pdu.short_message.udh?.[0]
    if (udh) { // 3GPP TS 23.040 9.2.3.24.1: reference, how many, which
      const [ref, total, n] = [...udh].slice(2)
      const all = parts.get(ref) ?? []
      all[n - 1] = text
      parts.set(ref, all)
      if (all.filter(Boolean).length < total) return
      text = all.join('')
    }
    console.log(JSON.stringify({ to: pdu.destination_addr, text, coding: pdu.data_coding }))
    session.deliver_sm({
      source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4,
      short_message: `id:${id} sub:001 dlvrd:001 submit date:2611240000 done date:2611240000 stat:DELIVRD err:000 text:`,
    })
  })
})
server.listen(0, '127.0.0.1', function () { console.log(this.address().port) })
process.stdin.on('end', () => process.exit(0)).resume() // ends with the test
