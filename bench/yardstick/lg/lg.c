/* lg - neutral client farm for the joyn performance harness.
 *
 * One process plays thousands of clients over SIP (UDP/TCP), XMPP c2s or the
 * raw frame protocol of relay.c.  It is commanded on stdin, one line per
 * command, and answers each with one JSON line on stdout, so that the
 * orchestrator can sample the server's CPU time exactly around a command.
 *
 *   lg PROTO HOST PORT DOMAIN [sm=0|1] [scram=1|0] [auth=0|1] [text=100] [raw=1000]
 *   PROTO: sip-udp sip-tcp xmpp raw-tcp raw-udp msrp (RFC 4976 relay: AUTH, then SEND)
 *
 *   login   FIRST LAST CONC            connect + authenticate users [FIRST,LAST)
 *   refresh FIRST LAST CONC            SIP only: re-REGISTER with the cached nonce
 *   logout  FIRST LAST                 close (SIP: REGISTER Expires 0)
 *   msg     FIRST LAST WINDOW RATE SEC pairs (2i,2i+1) exchange message+receipt;
 *                                      RATE 0 = closed loop with WINDOW in flight
 *   store   FIRST LAST OFF COUNT WIN   users send COUNT messages to user+OFF, done
 *                                      when the server acknowledged each one
 *   collect COUNT SEC                  wait until COUNT messages were delivered
 *   join    FIRST LAST ROOM            make the users members of a group
 *   group   FIRST LAST ROOM WIN RATE SEC  members send in turn, unit is done when
 *                                      every member got the copy
 *   idle    SEC      quit
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
#include <time.h>
#include <stdint.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { SIPU, SIPT, XMPP, RAWT, RAWU, MSRP };
enum { IDLE, REG1, REG2, X_F1, X_AUTH, X_F2, X_BIND, X_SM, X_PRES, READY };
typedef struct {
	int fd, id, st, joined, refresh;
	char ip[16]; int port; unsigned char salted[20]; int has_salted;
	char *rb; int rl, rc;            /* read buffer */
	char *wb; int wl, wc;            /* unsent output */
	char nonce[160], path[128];     /* path: the Use-Path an MSRP relay gave */
	 int qop, proxy; unsigned nc, cseq, h;
	int pend; uint64_t pseq;         /* store mode: message waiting for ack */
	double t0;
} Cl;
typedef struct { uint64_t seq; double t, td, tr; int st, from, to, ack, acked_r, need; } Slot;
#define NS 65536
#define MAXC 200000
static Cl *C[MAXC];
static Slot S[NS];
static uint64_t head, tail;
static int proto, ep, port, sm, useauth, textlen = 100, rawlen = 1000;
static const char *host, *dom;
static double now_;
static long n_login, n_fail, n_done, n_deliv, n_retx, n_chal, n_ack, lastcode;
static int outst, mode;       /* mode: 1 msg 2 store 3 group */
static double *lat_d, *lat_r; static long nl_d, nl_r;
#define MAXL 8000000
static char TEXT[4096], OUT[16384];
static int is_sip, is_udp, scram=1;

static double now(void){ struct timespec t; clock_gettime(CLOCK_MONOTONIC,&t); return t.tv_sec+t.tv_nsec*1e-9; }
static void md5hex(const char *s, char *o){
	unsigned char d[16]; unsigned l; EVP_Digest(s,strlen(s),d,&l,EVP_md5(),0);
	for(int i=0;i<16;i++) sprintf(o+2*i,"%02x",d[i]);
}
static void ev(Cl *c, int out){ struct epoll_event e={.events=EPOLLIN|(out?EPOLLOUT:0),.data.ptr=c}; epoll_ctl(ep,EPOLL_CTL_MOD,c->fd,&e); }
static void tx(Cl *c, const char *b, int n){
	if(c->fd<0) return;
	if(!c->wl){
		int r=send(c->fd,b,n,MSG_NOSIGNAL);
		if(r==n||is_udp) return;
		if(r<0){ if(errno!=EAGAIN) return; r=0; }
		b+=r; n-=r;
	}
	if(c->wl+n>c->wc){ c->wc=(c->wl+n)*2; c->wb=realloc(c->wb,c->wc); }
	memcpy(c->wb+c->wl,b,n); c->wl+=n; ev(c,1);
}
static void flush(Cl *c){
	int r=send(c->fd,c->wb,c->wl,MSG_NOSIGNAL);
	if(r>0){ memmove(c->wb,c->wb+r,c->wl-r); c->wl-=r; }
	if(!c->wl) ev(c,0);
}
/* ---------------------------------------------------------------- SIP -- */
static const char *tp(void){ return proto==SIPU?"UDP":"TCP"; }
static int sip_auth(Cl *c, char *o, const char *method, const char *uri){
	if(!c->nonce[0]) return 0;
	char a[512],h1[33],h2[33],r[33];
	sprintf(a,"u%06d:%s:pw%06d",c->id,dom,c->id); md5hex(a,h1);
	sprintf(a,"%s:%s",method,uri); md5hex(a,h2);
	c->nc++;
	if(c->qop) sprintf(a,"%s:%s:%08x:c0ffee:auth:%s",h1,c->nonce,c->nc,h2);
	else sprintf(a,"%s:%s:%s",h1,c->nonce,h2);
	md5hex(a,r);
	int n=sprintf(o,"%s: Digest username=\"u%06d\",realm=\"%s\",nonce=\"%s\",uri=\"%s\",response=\"%s\",algorithm=MD5",
		strcmp(method,"REGISTER")?"Proxy-Authorization":"Authorization",c->id,dom,c->nonce,uri,r);
	if(c->qop) n+=sprintf(o+n,",qop=auth,nc=%08x,cnonce=\"c0ffee\"",c->nc);
	return n+sprintf(o+n,"\r\n");
}
static void sip_register(Cl *c, int expires){
	char uri[128]; sprintf(uri,"sip:%s",dom); c->cseq++;
	int n=sprintf(OUT,"REGISTER %s SIP/2.0\r\nVia: SIP/2.0/%s %s:%d;branch=z9hG4bKr%d.%u;rport\r\nMax-Forwards: 70\r\n"
		"From: <sip:u%06d@%s>;tag=t%d\r\nTo: <sip:u%06d@%s>\r\nCall-ID: reg-%06d-%d@%s\r\nCSeq: %u REGISTER\r\n"
		"Contact: <sip:u%06d@%s:%d;transport=%s>;+sip.instance=\"<urn:gsma:imei:35824005-%06d-0>\";"
		"+g.3gpp.icsi-ref=\"urn%%3Aurn-7%%3A3gpp-service.ims.icsi.oma.cpm.session,urn%%3Aurn-7%%3A3gpp-service.ims.icsi.oma.cpm.msg\";"
		"+g.3gpp.iari-ref=\"urn%%3Aurn-7%%3A3gpp-application.ims.iari.rcs.fthttp\"\r\n"
		"Supported: path,gruu\r\nUser-Agent: joyn-lg/1\r\nExpires: %d\r\n",
		uri,tp(),c->ip,c->port,c->id,c->cseq,c->id,dom,c->id,c->id,dom,c->id,c->port,c->ip,c->cseq,
		c->id,c->ip,c->port,proto==SIPU?"udp":"tcp",c->id,expires);
	n+=sip_auth(c,OUT+n,"REGISTER",uri);
	n+=sprintf(OUT+n,"Content-Length: 0\r\n\r\n");
	tx(c,OUT,n);
}
/* the CPIM body: a text message (kind U) or its IMDN delivery receipt (kind R) */
static int cpim(char *body, int size, char kind, uint64_t seq){
	char inner[1500];
	if(kind=='U') sprintf(inner,"Content-Type: text/plain; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%.*s",textlen,textlen,TEXT);
	else sprintf(inner,"Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\nContent-Length: 314\r\n\r\n"
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\r\n"
		"<message-id>joynU%010llu</message-id>\r\n<datetime>2026-11-22T20:00:00Z</datetime>\r\n"
		"<delivery-notification>\r\n<status>\r\n<delivered/>\r\n</status>\r\n</delivery-notification>\r\n</imdn>\r\n",(unsigned long long)seq);
	return snprintf(body,size,"From: <sip:anonymous@anonymous.invalid>\r\nTo: <sip:anonymous@anonymous.invalid>\r\n"
		"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: joyn%c%010llu\r\nDateTime: 2026-11-22T20:00:00Z\r\n"
		"%s\r\n%s",kind,(unsigned long long)seq,kind=='U'?"imdn.Disposition-Notification: positive-delivery\r\n":"",inner);
}
static void sip_message(Cl *c, const char *to, char kind, uint64_t seq, int tryno){
	char body[3000], uri[128]; int bl=cpim(body,sizeof body,kind,seq);
	sprintf(uri,"sip:%s@%s",to,dom);
	int n=sprintf(OUT,"MESSAGE %s SIP/2.0\r\nVia: SIP/2.0/%s %s:%d;branch=z9hG4bKjoyn%c%010llu.%d;rport\r\nMax-Forwards: 70\r\n"
		"From: <sip:u%06d@%s>;tag=%llx\r\nTo: <%s>\r\nCall-ID: joyn%c%010llu\r\nCSeq: %d MESSAGE\r\n"
		"P-Preferred-Service: urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg\r\n"
		"Accept-Contact: *;+g.3gpp.icsi-ref=\"urn%%3Aurn-7%%3A3gpp-service.ims.icsi.oma.cpm.msg\"\r\n"
		"User-Agent: joyn-lg/1\r\n",
		uri,tp(),c->ip,c->port,kind,(unsigned long long)seq,tryno,c->id,dom,(unsigned long long)seq,uri,kind,(unsigned long long)seq,tryno+1);
	if(useauth) n+=sip_auth(c,OUT+n,"MESSAGE",uri);
	n+=sprintf(OUT+n,"Content-Type: message/cpim\r\nContent-Length: %d\r\n\r\n",bl);
	memcpy(OUT+n,body,bl); tx(c,OUT,n+bl);
}
static void sip_reply200(Cl *c, const char *m, int len){
	int n=sprintf(OUT,"SIP/2.0 200 OK\r\n"); const char *p=m,*e=m+len;
	while((p=memchr(p,'\n',e-p)) && ++p<e && *p!='\r'){
		const char *q=memchr(p,'\r',e-p); if(!q) break;
		int l=q-p;
		if(!strncasecmp(p,"Via:",4)||!strncasecmp(p,"From:",5)||!strncasecmp(p,"Call-ID:",8)||!strncasecmp(p,"CSeq:",5)){
			memcpy(OUT+n,p,l); n+=l; OUT[n++]='\r'; OUT[n++]='\n';
		} else if(!strncasecmp(p,"To:",3)){ memcpy(OUT+n,p,l); n+=l; n+=sprintf(OUT+n,memmem(p,l,";tag=",5)?"\r\n":";tag=l%d\r\n",c->id); }
	}
	n+=sprintf(OUT+n,"Content-Length: 0\r\n\r\n"); tx(c,OUT,n);
}
/* --------------------------------------------------------------- MSRP -- */
static void msrp_auth(Cl *c){
	char a[600],h1[33],h2[33],r[33],uri[64]; sprintf(uri,"msrp://127.0.0.1:%d;tcp",port); c->cseq++;
	int n=sprintf(OUT,"MSRP a%06d%u AUTH\r\nTo-Path: %s\r\nFrom-Path: msrp://%s:%d/c%06d;tcp\r\n",c->id,c->cseq,uri,c->ip,c->port,c->id);
	if(c->nonce[0]){
		sprintf(a,"u%06d:%s:pw%06d",c->id,dom,c->id); md5hex(a,h1); sprintf(a,"AUTH:%s",uri); md5hex(a,h2); c->nc++;
		if(c->qop) sprintf(a,"%s:%s:%08x:c0ffee:auth:%s",h1,c->nonce,c->nc,h2); else sprintf(a,"%s:%s:%s",h1,c->nonce,h2);
		md5hex(a,r);
		n+=sprintf(OUT+n,"Authorization: Digest username=\"u%06d\",realm=\"%s\",nonce=\"%s\",uri=\"%s\",response=\"%s\"",c->id,dom,c->nonce,uri,r);
		if(c->qop) n+=sprintf(OUT+n,",qop=auth,nc=%08x,cnonce=\"c0ffee\"",c->nc);
		n+=sprintf(OUT+n,"\r\n");
	}
	n+=sprintf(OUT+n,"-------a%06d%u$\r\n",c->id,c->cseq); tx(c,OUT,n);
}
static void msrp_send(Cl *c, Cl *to, char kind, uint64_t seq){
	char body[3000]; int bl=cpim(body,sizeof body,kind,seq);
	int n=sprintf(OUT,"MSRP j%c%010llu SEND\r\nTo-Path: %s msrp://%s:%d/c%06d;tcp\r\nFrom-Path: msrp://%s:%d/c%06d;tcp\r\nMessage-ID: joyn%c%010llu\r\n"
		"Byte-Range: 1-%d/%d\r\nContent-Type: message/cpim\r\n\r\n",kind,(unsigned long long)seq,to->path,to->ip,to->port,to->id,c->ip,c->port,c->id,
		kind,(unsigned long long)seq,bl,bl);
	memcpy(OUT+n,body,bl); n+=bl; n+=sprintf(OUT+n,"\r\n-------j%c%010llu$\r\n",kind,(unsigned long long)seq); tx(c,OUT,n);
}
/* -------------------------------------------------------------- units -- */
static char *b64(const char *s, int n, char *o){ EVP_EncodeBlock((unsigned char*)o,(const unsigned char*)s,n); return o; }
static void put_raw(Cl *c, uint32_t dst, const char *pl, int n, int total){
	uint32_t h[2]={8+(total>n?total:n),dst}; memcpy(OUT,h,8); memcpy(OUT+8,pl,n);
	if(total>n) memset(OUT+8+n,'.',total-n);
	tx(c,OUT,h[0]);
}
static void send_unit(Cl *c, int to, char kind, uint64_t seq, int tryno){
	char b[1024], u[32]; int n;
	if(is_sip){ sprintf(u,"u%06d",to); sip_message(c,u,kind,seq,tryno); return; }
	if(proto==MSRP){ msrp_send(c,C[to],kind,seq); return; }
	if(proto==XMPP){
		if(kind=='U') n=sprintf(b,"<message type='chat' to='u%06d@%s' id='joynU%010llu'><body>%.*s</body><request xmlns='urn:xmpp:receipts'/></message>",
			to,dom,(unsigned long long)seq,textlen,TEXT);
		else n=sprintf(b,"<message to='u%06d@%s/r' id='joynR%010llu'><received xmlns='urn:xmpp:receipts' id='joynR%010llu'/></message>",
			to,dom,(unsigned long long)seq,(unsigned long long)seq);
		if(mode==2) n+=sprintf(b+n,sm?"<r xmlns='urn:xmpp:sm:3'/>":"<iq type='get' id='p' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>",dom);
		tx(c,b,n); return;
	}
	n=sprintf(b,"joyn%c%010llu",kind,(unsigned long long)seq); put_raw(c,to,b,n,rawlen);
}
static void send_group(Cl *c, int room, uint64_t seq){
	char b[1024], u[32]; int n;
	if(is_sip){ sprintf(u,"group%d",room); sip_message(c,u,'U',seq,0); return; }
	if(proto==XMPP){ n=sprintf(b,"<message type='groupchat' to='room%d@conference.%s' id='joynU%010llu'><body>joynU%010llu %.*s</body></message>",room,dom,
		(unsigned long long)seq,(unsigned long long)seq,textlen-16,TEXT); tx(c,b,n); return; }
	n=sprintf(b,"joynU%010llu",(unsigned long long)seq); put_raw(c,0x80000000u|room,b,n,rawlen);
}
static Slot *slot(uint64_t seq){ Slot *s=&S[seq%NS]; return s->seq==seq&&s->st?s:0; }
static void unit_done(Slot *s){
	if(s->st!=2){ s->st=2; outst--; n_done++; if(nl_r<MAXL) lat_r[nl_r++]=now()-s->t; }
}
static void on_text(Cl *c, char kind, uint64_t seq){
	Slot *s=slot(seq); n_deliv++;
	if(mode==3){ if(s&&s->st==1){ if(!s->td) s->td=now(); if(--s->need==0){ unit_done(s); } } return; }
	if(mode!=1||!s||s->st!=1) return;
	if(kind=='U'){ if(!s->td){ s->td=s->tr=now(); if(nl_d<MAXL) lat_d[nl_d++]=s->td-s->t; send_unit(c,s->from,'R',seq,0); } }
	else unit_done(s);
}
static void on_ack(Cl *c, uint64_t seq, char kind){
	Slot *s=slot(seq); n_ack++;
	if(s){ if(kind=='R') s->acked_r=1; else s->ack=1; }
	if(mode==2&&s&&s->st==1) unit_done(s);
	(void)c;
}
static void ready(Cl *c){ if(c->st!=READY||c->refresh){ c->st=READY; c->refresh=0; n_login++; if(nl_r<MAXL) lat_r[nl_r++]=now()-c->t0; } }
static void dead(Cl *c){ if(c->fd>=0){ close(c->fd); c->fd=-1; if(c->st!=READY) n_fail++; c->st=IDLE; } }
static char *mark(const char *b, int n, uint64_t *seq){
	char *p=memmem(b,n,"joyn",4);
	while(p && p+15<=b+n && p[4]!='U' && p[4]!='R') p=memmem(p+4,n-(p+4-b),"joyn",4);
	if(!p||p+15>b+n) return 0;
	uint64_t v=0; for(int i=5;i<15;i++) v=v*10+p[i]-'0';
	*seq=v; return p+4;
}
static void sip_in(Cl *c, char *m, int n){
	uint64_t seq; char *k, *hb=memmem(m,n,"\r\n\r\n",4); int hl=hb?hb-m+4:n;
	if(!memcmp(m,"SIP/2.0 ",8)){
		int code=atoi(m+8); if(code<200) return;
		char *cs=memmem(m,hl,"CSeq:",5); int reg=cs&&memmem(cs,30,"REGISTER",8)!=0;
		if(code==401||code==407){
			char *p=memmem(m,hl,"nonce=\"",7); n_chal++;
			if(p){ p+=7; char *q=memchr(p,'"',hl-(p-m)); int l=q-p; if(l>150) l=150; memcpy(c->nonce,p,l); c->nonce[l]=0; c->nc=0; }
			c->qop=memmem(m,hl,"qop=",4)!=0;
			if(reg){ if(c->st==REG2&&!c->refresh){ n_fail++; return; } c->st=REG2; sip_register(c,3600); }
			else if((k=mark(m,hl,&seq))){ Slot *s=slot(seq); if(s) send_unit(c,*k=='U'?s->to:s->from,*k,seq,1+(int)(n_chal%1000000)); }
			return;
		}
		if(reg){ if(code==200) ready(c); else { n_fail++; } return; }
		if((k=mark(m,hl,&seq))){ if(code/100==2) on_ack(c,seq,*k); else { Slot *s=slot(seq); n_fail++; lastcode=code; if(s&&s->st==1){ s->st=3; outst--; } } }
		return;
	}
	sip_reply200(c,m,hl);
	if(!memcmp(m,"MESSAGE ",8)&&(k=mark(m+hl,n-hl,&seq))) on_text(c,*k,seq);
	else if(!memcmp(m,"MESSAGE ",8)&&(k=mark(m,hl,&seq))) on_text(c,*k,seq);
}
/* length of the first MSRP frame in b, 0 when incomplete */
static int msrp_frame(char *b, int n){
	if(n<10) return 0;
	char t[64]="-------"; char *sp=memchr(b+5,' ',n-5<40?n-5:40); if(!sp) return 0;
	int tl=sp-b-5; memcpy(t+7,b+5,tl); t[7+tl]=0;
	char *e=memmem(b+5,n-5,t,7+tl); if(!e||e+10+tl>b+n) return 0;
	return e+10+tl-b;
}
static void msrp_in(Cl *c, char *m, int n){
	uint64_t seq; char *k, *sp=memchr(m+5,' ',40); if(!sp) return;
	if(sp[1]>='0'&&sp[1]<='9'){
		int code=atoi(sp+1);
		if(m[5]=='a'){
			char *p;
			if(code==401&&c->st==REG1&&(p=memmem(m,n,"nonce=\"",7))){ p+=7; char *q=memchr(p,'"',n-(p-m)); int l=q-p>150?150:q-p; memcpy(c->nonce,p,l); c->nonce[l]=0; c->nc=0;
				c->qop=memmem(m,n,"qop=",4)!=0; c->st=REG2; n_chal++; msrp_auth(c); }
			else if(code==200&&(p=memmem(m,n,"Use-Path: ",10))){ p+=10; char *q=memchr(p,'\r',n-(p-m)); memcpy(c->path,p,q-p); c->path[q-p]=0; ready(c); }
			else { n_fail++; lastcode=code; }
		} else { uint64_t v=strtoull(m+7,0,10); if(code==200) on_ack(c,v,m[6]); else { Slot *s=slot(v); n_fail++; lastcode=code; if(s&&s->st==1){ s->st=3; outst--; } } }
		return;
	}
	if(memcmp(sp+1,"SEND",4)) return;
	char *f=memmem(m,n,"From-Path: ",11), *e; if(!f) return;
	f+=11; e=f; while(*e!=' '&&*e!='\r') e++;
	int l=sprintf(OUT,"MSRP %.*s 200 OK\r\nTo-Path: %.*s\r\nFrom-Path: msrp://%s:%d/c%06d;tcp\r\n-------%.*s$\r\n",(int)(sp-m-5),m+5,(int)(e-f),f,c->ip,c->port,c->id,(int)(sp-m-5),m+5);
	tx(c,OUT,l);
	if((k=mark(m,n,&seq))) on_text(c,*k,seq);
}
static void xmpp_stream(Cl *c){
	char b[300]; int n=sprintf(b,"<?xml version='1.0'?><stream:stream to='%s' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",dom); tx(c,b,n);
}
/* SCRAM-SHA-1 client: the work is the client's and is not counted; the salted password is cached */
static void scram_first(Cl *c){
	char t[128], o[256], b[512]; int l=sprintf(t,"n,,n=u%06d,r=cn%06dx",c->id,c->id); b64(t,l,o);
	l=sprintf(b,"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>%s</auth>",o); tx(c,b,l);
}
static void scram_final(Cl *c, char *m, int n){
	char sf[512], salt[128], r[256], am[1024], o[1024], b[1400]; unsigned char ck[20], sk[20], sg[20], bs[128]; unsigned l; int it=4096;
	char *p=memchr(m,'>',n), *q=p?memchr(p,'<',n-(p-m)):0; if(!q){ dead(c); return; } p++;
	int dl=EVP_DecodeBlock((unsigned char*)sf,(unsigned char*)p,q-p); while(q>p&&*--q=='=') dl--;
	sf[dl]=0; if(sscanf(sf,"r=%255[^,],s=%127[^,],i=%d",r,salt,&it)!=3){ dead(c); return; }
	if(!c->has_salted){ int sl=strlen(salt), bl=EVP_DecodeBlock(bs,(unsigned char*)salt,sl); while(sl&&salt[--sl]=='=') bl--;
		char pw[16]; sprintf(pw,"pw%06d",c->id); PKCS5_PBKDF2_HMAC(pw,8,bs,bl,it,EVP_sha1(),20,c->salted); c->has_salted=1; }
	HMAC(EVP_sha1(),c->salted,20,(unsigned char*)"Client Key",10,ck,&l); EVP_Digest(ck,20,sk,&l,EVP_sha1(),0);
	int al=sprintf(am,"n=u%06d,r=cn%06dx,%s,c=biws,r=%s",c->id,c->id,sf,r); HMAC(EVP_sha1(),sk,20,(unsigned char*)am,al,sg,&l);
	for(int i=0;i<20;i++) ck[i]^=sg[i];
	char pr[40]; b64((char*)ck,20,pr); al=sprintf(am,"c=biws,r=%s,p=%s",r,pr); b64(am,al,o);
	al=sprintf(b,"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>",o); tx(c,b,al);
}
static void xmpp_in(Cl *c, char *m, int n){
	char b[512], t[128], o[256]; uint64_t seq; char *k;
	int stanza=!memcmp(m,"<me",3)||!memcmp(m,"<iq",3)||!memcmp(m,"<pr",3);
	if(stanza&&c->st>=X_SM) c->h++;
	switch(c->st){
	case X_F1: if(n>15&&!memcmp(m,"<stream:feature",15)){
		if(scram&&memmem(m,n,"SCRAM-SHA-1",11)){ c->st=X_AUTH; scram_first(c); break; }
		int l=sprintf(t,"%cu%06d%cpw%06d",0,c->id,0,c->id); b64(t,l,o);
		l=sprintf(b,"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>",o); c->st=X_AUTH; tx(c,b,l); } break;
	case X_AUTH: if(!memcmp(m,"<success",8)){ c->st=X_F2; c->rl=0; xmpp_stream(c); } else if(!memcmp(m,"<challenge",10)) scram_final(c,m,n); else { fprintf(stderr,"%.*s\n",n,m); dead(c); } break;
	case X_F2: if(n>15&&!memcmp(m,"<stream:feature",15)){
		int l=sprintf(b,"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>"); c->st=X_BIND; tx(c,b,l); } break;
	case X_BIND: if(!memcmp(m,"<iq",3)){
		if(sm){ c->st=X_SM; c->h=0; tx(c,"<enable xmlns='urn:xmpp:sm:3'/>",31); }
		else { c->st=X_PRES; tx(c,"<presence/>",11); } } break;
	case X_SM: if(!memcmp(m,"<enabled",8)){ c->st=X_PRES; c->h=0; tx(c,"<presence/>",11); } break;
	case X_PRES: if(!memcmp(m,"<presence",9)) ready(c);
		else if(!memcmp(m,"<message",8)&&(k=mark(m,n,&seq))) on_text(c,*k,seq);   /* stored messages may come first */
		break;
	case READY:
		if(!memcmp(m,"<message",8)){ if((k=mark(m,n,&seq))) on_text(c,*k,seq); }
		else if(!memcmp(m,"<presence",9)){ if(memmem(m,n,"'110'",5)||memmem(m,n,"\"110\"",5)) c->joined=1; }
		else if(mode==2&&c->pend&&(!memcmp(m,"<a ",3)||(!sm&&!memcmp(m,"<iq",3)))){ c->pend=0; on_ack(c,c->pseq,'U'); }
		else if(!memcmp(m,"<iq",3)&&(memmem(m,n,"type='get'",10)||memmem(m,n,"type=\"get\"",10))&&memmem(m,n,"urn:xmpp:ping",13)){
			int l=sprintf(b,"<iq type='result' id='x' to='%s'/>",dom); tx(c,b,l); }
	}
	if(c->fd>=0&&!memcmp(m,"<r ",3)){ int l=sprintf(b,"<a xmlns='urn:xmpp:sm:3' h='%u'/>",c->h); tx(c,b,l); }
}
/* split the XMPP byte stream into top-level elements */
static int xmpp_scan(Cl *c){
	char *b=c->rb; int n=c->rl, i=0, start=0, depth=0;
	while(i<n){
		if(b[i]!='<'){ char *p=memchr(b+i,'<',n-i); if(!p){ if(depth==0) return n; break; } i=p-b; if(depth==0) start=i; continue; }
		char *g=memchr(b+i,'>',n-i); if(!g) break;
		int e=g-b+1;
		if(b[i+1]=='?'||!strncmp(b+i,"<stream:stream",14)){ i=e; if(depth==0) start=e; continue; }
		if(b[i+1]=='/'){ depth--; if(depth<0) return n; } else if(g[-1]!='/') depth++;
		i=e;
		if(depth==0){ xmpp_in(c,b+start,e-start); if(c->fd<0||c->rl==0) return 0; start=e; }
	}
	return start;
}
static void on_read(Cl *c){
	for(int loop=0;loop<16;loop++){
		if(c->rc-c->rl<8192){ c->rc=c->rl+16384; c->rb=realloc(c->rb,c->rc); }
		int r=recv(c->fd,c->rb+c->rl,c->rc-c->rl-1,0);
		if(r<=0){ if(r==0||errno!=EAGAIN) if(!is_udp) dead(c); break; }
		if(is_udp){
			if(proto==SIPU) { if(r>10) sip_in(c,c->rb,r); }
			else { uint64_t q; char *k; if(c->st!=READY) ready(c); else if((k=mark(c->rb,r,&q))) on_text(c,*k,q); }
			continue;
		}
		c->rl+=r; c->rb[c->rl]=0; int off=0;
		if(proto==XMPP) off=xmpp_scan(c);
		else if(proto==MSRP){ int l; while((l=msrp_frame(c->rb+off,c->rl-off))){ msrp_in(c,c->rb+off,l); if(c->fd<0) return; off+=l; } }
		else if(proto==SIPT) for(;;){
			while(off<c->rl&&(c->rb[off]=='\r'||c->rb[off]=='\n')) off++;
			char *m=c->rb+off, *h=memmem(m,c->rl-off,"\r\n\r\n",4); if(!h) break;
			int hl=h-m+4, cl=0; char *p=strcasestr(m,"\r\nContent-Length:"); if(p&&p<h) cl=atoi(p+17);
			if(hl+cl>c->rl-off) break;
			sip_in(c,m,hl+cl); if(c->fd<0) return;
			off+=hl+cl;
		}
		else while(c->rl-off>=8){
			uint32_t l; memcpy(&l,c->rb+off,4); if(l>(uint32_t)(c->rl-off)) break;
			uint64_t q; char *k; if(c->st!=READY) ready(c); else if((k=mark(c->rb+off+8,l-8,&q))) on_text(c,*k,q); else c->joined=1;
			off+=l;
		}
		if(c->fd<0) return;
		if(off){ if(off<c->rl) memmove(c->rb,c->rb+off,c->rl-off); c->rl= off<=c->rl?c->rl-off:0; }
		if(c->rl==0&&c->rc>32768){ free(c->rb); c->rb=0; c->rc=0; }
		break;
	}
}
static void start_login(int id){
	Cl *c=C[id]; if(!c){ c=C[id]=calloc(1,sizeof *c); c->fd=-1; c->id=id; }
	c->t0=now();
	if(c->fd>=0&&c->st==READY){ c->refresh=1; if(is_sip) sip_register(c,3600); return; }
	c->rl=c->wl=0; c->nonce[0]=0; c->joined=c->refresh=c->pend=0; c->h=0;
	c->fd=socket(AF_INET,(is_udp?SOCK_DGRAM:SOCK_STREAM)|SOCK_NONBLOCK,0);
	if(c->fd<0){ n_fail++; return; }
	int one=1; struct sockaddr_in a={.sin_family=AF_INET}; socklen_t al=sizeof a;
	sprintf(c->ip,"127.0.1.%d",1+id/10000); inet_pton(AF_INET,c->ip,&a.sin_addr);
	if(!is_udp){ setsockopt(c->fd,IPPROTO_IP,IP_BIND_ADDRESS_NO_PORT,&one,sizeof one); setsockopt(c->fd,IPPROTO_TCP,TCP_NODELAY,&one,sizeof one); }
	if(bind(c->fd,(void*)&a,sizeof a)) perror("bind");
	struct sockaddr_in s={.sin_family=AF_INET,.sin_port=htons(port)}; inet_pton(AF_INET,host,&s.sin_addr);
	if(connect(c->fd,(void*)&s,sizeof s)&&errno!=EINPROGRESS){ perror("connect"); n_fail++; close(c->fd); c->fd=-1; return; }
	getsockname(c->fd,(void*)&a,&al); c->port=ntohs(a.sin_port);
	struct epoll_event e={.events=EPOLLIN|EPOLLOUT,.data.ptr=c}; epoll_ctl(ep,EPOLL_CTL_ADD,c->fd,&e);
	c->st=IDLE;   /* the first EPOLLOUT starts the login */
}
static void begin(Cl *c){
	ev(c,0);
	if(is_sip){ c->st=REG1; sip_register(c,3600); }
	else if(proto==XMPP){ c->st=X_F1; xmpp_stream(c); }
	else if(proto==MSRP){ c->st=REG1; msrp_auth(c); }
	else { uint32_t id=c->id; c->st=REG1; put_raw(c,0xFFFFFFFFu,(char*)&id,4,4); }
}
/* one turn of the event loop; returns 1 when stdin is readable */
static int turn(int ms){
	struct epoll_event e[512]; int n=epoll_wait(ep,e,512,ms), in=0; now_=now();
	for(int i=0;i<n;i++){
		Cl *c=e[i].data.ptr; if(!c){ in=1; continue; }
		if(c->fd<0) continue;
		if(e[i].events&EPOLLOUT){ if(c->st==IDLE) begin(c); else if(c->wl) flush(c); else ev(c,0); }
		if(c->fd>=0&&e[i].events&(EPOLLIN|EPOLLHUP|EPOLLERR)) on_read(c);
	}
	return in;
}
static int cmpd(const void *a, const void *b){ double x=*(double*)a,y=*(double*)b; return x<y?-1:x>y; }
static void pct(const char *name, double *v, long n){
	qsort(v,n,sizeof *v,cmpd);
	#define P(q) (n?v[(long)((n-1)*(q))]*1e3:0.0)
	printf(",\"%s_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}",name,P(.5),P(.99),P(.999),P(1.0));
}
static void reset(void){ n_login=n_fail=n_done=n_deliv=n_retx=n_chal=n_ack=0; nl_d=nl_r=0; outst=0; tail=head; }
static void sweep(void){   /* timeouts, and SIP/UDP client retransmissions (T1 = 500 ms) */
	static double last; if(now_-last<0.1) return;
	last=now_;
	while(tail<head&&S[tail%NS].st!=1) tail++;
	for(uint64_t q=tail;q<head;q++){
		Slot *s=&S[q%NS]; if(s->st!=1) continue;
		if(now_-s->t>10){ s->st=3; outst--; n_fail++; continue; }
		if(proto!=SIPU&&proto!=RAWU) continue;
		if(!s->td&&!s->ack&&now_-s->t>0.5&&mode!=3){ s->t-=0; n_retx++; send_unit(C[s->from],s->to,'U',q,0); }
		else if(s->td&&!s->acked_r&&now_-s->tr>0.5&&mode==1){ n_retx++; s->tr=now_; send_unit(C[s->to],s->from,'R',q,0); }
	}
}
static Slot *newslot(int from, int to){
	Slot *s=&S[head%NS]; memset(s,0,sizeof *s); s->seq=head; s->st=1; s->t=now(); s->from=from; s->to=to; head++; outst++; return s;
}
static void traffic(int first, int last, int room, int win, double rate, double sec, int md){
	int np=md==3?last-first:(last-first)/2; uint64_t i=0; double t0=now(), tend=t0+sec; mode=md; reset();
	now_=t0;
	while(now_<tend||outst>0){
		if(now_>tend+12) break;
		while(now_<tend){
			if(outst>=win||outst>=NS/2) break;
			if(rate>0&&i>=(now_-t0)*rate) break;
			if(md==3){ Cl *c=C[first+i%np]; Slot *s=newslot(c->id,room); s->need=np; send_group(c,room,s->seq); }
			else { int a=first+2*(i%np); if(i/np&1) { Slot *s=newslot(a+1,a); send_unit(C[a+1],a,'U',s->seq,0); }
				else { Slot *s=newslot(a,a+1); send_unit(C[a],a+1,'U',s->seq,0); } }
			i++;
			if(rate<=0&&(i&63)==0) break;
		}
		turn(rate>0?1:10); sweep();
	}
	double el=now()-t0;
	printf("{\"units\":%ld,\"secs\":%.3f,\"per_s\":%.1f,\"delivered\":%ld,\"fail\":%ld,\"lastcode\":%ld,\"retx\":%ld,\"chal\":%ld",n_done,el,n_done/el,n_deliv,n_fail,lastcode,n_retx,n_chal);
	if(md==1) pct("deliver",lat_d,nl_d);
	pct(md==1?"receipt":"all",lat_r,nl_r); printf("}\n"); fflush(stdout); mode=0;
}
int main(int ac, char **av){
	if(ac<5) return 2;
	const char *pn[]={"sip-udp","sip-tcp","xmpp","raw-tcp","raw-udp","msrp"};
	for(proto=0;proto<6&&strcmp(pn[proto],av[1]);proto++); 
	host=av[2]; port=atoi(av[3]); dom=av[4];
	if(strncmp(host,"127.",4)){ fprintf(stderr,"loopback only\n"); return 2; }
	for(int i=5;i<ac;i++){ sscanf(av[i],"sm=%d",&sm); sscanf(av[i],"auth=%d",&useauth); sscanf(av[i],"scram=%d",&scram); sscanf(av[i],"text=%d",&textlen); sscanf(av[i],"raw=%d",&rawlen); }
	is_sip=proto==SIPU||proto==SIPT; is_udp=proto==SIPU||proto==RAWU;
	for(int i=0;i<4000;i++) TEXT[i]="The quick brown fox jumps over the lazy dog, again and again. "[i%62];
	lat_d=malloc(MAXL*sizeof(double)); lat_r=malloc(MAXL*sizeof(double));
	struct rlimit rl; getrlimit(RLIMIT_NOFILE,&rl); rl.rlim_cur=rl.rlim_max; setrlimit(RLIMIT_NOFILE,&rl);
	head=tail=1+(uint64_t)(time(0)%100000)*10000; ep=epoll_create1(0);
	struct epoll_event e={.events=EPOLLIN,.data.ptr=0}; epoll_ctl(ep,EPOLL_CTL_ADD,0,&e); fcntl(0,F_SETFL,O_NONBLOCK);
	char in[65536]; int il=0;
	printf("{\"ready\":1}\n"); fflush(stdout);
	for(;;){
		char *nl=memchr(in,'\n',il);
		if(!nl){ if(turn(1000)){ int r=read(0,in+il,sizeof in-il-1); if(r==0) return 0; if(r>0) il+=r; } continue; }
		*nl=0; char cmd[32]=""; double a[6]={0}; sscanf(in,"%31s %lf %lf %lf %lf %lf %lf",cmd,a,a+1,a+2,a+3,a+4,a+5);
		int used=nl+1-in; memmove(in,in+used,il-used); il-=used;
		if(!strcmp(cmd,"quit")) return 0;
		else if(!strcmp(cmd,"login")||!strcmp(cmd,"refresh")){
			int f=a[0],l=a[1],conc=a[2],nx=f; double t0=now(),lastp=t0; long lp=0; reset(); mode=0;
			while(n_login+n_fail<l-f){
				while(nx<l&&nx-f-n_login-n_fail<conc) start_login(nx++);
				turn(100); if(n_login!=lp){ lp=n_login; lastp=now_; } if(now_-lastp>20) break;
				if(is_udp&&now_-lastp>0.5) for(int j=f;j<nx;j++) if(C[j]&&(C[j]->st!=READY||C[j]->refresh)&&now_-C[j]->t0>0.5){ C[j]->t0=now_; n_retx++; if(is_sip) sip_register(C[j],3600); else begin(C[j]); }
			}
			double el=now()-t0; printf("{\"logins\":%ld,\"fail\":%ld,\"retx\":%ld,\"chal\":%ld,\"secs\":%.3f,\"per_s\":%.1f",n_login,n_fail,n_retx,n_chal,el,n_login/el);
			pct("login",lat_r,nl_r); printf("}\n"); fflush(stdout);
		}
		else if(!strcmp(cmd,"logout")){
			int n=0; for(int i=a[0];i<a[1];i++) if(C[i]&&C[i]->fd>=0){ n++; if(is_sip) sip_register(C[i],0); else if(proto==XMPP) tx(C[i],"</stream:stream>",16);
				if((n&15)==0){ double q=now(); while(now()-q<(is_udp?0.02:0.001)) turn(1); } }
			for(int i=0;i<100;i++) turn(10);
			for(int i=a[0];i<a[1];i++) if(C[i]&&C[i]->fd>=0){ close(C[i]->fd); C[i]->fd=-1; C[i]->st=IDLE; C[i]->rl=C[i]->wl=0; }
			printf("{\"logouts\":%d}\n",n); fflush(stdout);
		}
		else if(!strcmp(cmd,"msg")) traffic(a[0],a[1],0,a[2],a[3],a[4],1);
		else if(!strcmp(cmd,"group")) traffic(a[0],a[1],a[2],a[3],a[4],a[5],3);
		else if(!strcmp(cmd,"store")){
			int f=a[0],l=a[1],off=a[2],win=a[4]; long cnt=a[3],i=0; double t0=now(),lp=t0; long ld=0; reset(); mode=2; now_=t0;
			while(n_done+n_fail<cnt){
				int tries=0;
				while(i<cnt&&outst<win&&tries<l-f){ Cl *c=C[f+(i+tries)%(l-f)]; if(proto==XMPP&&c->pend){ tries++; continue; }
					Slot *s=newslot(c->id,c->id+off); c->pend=1; c->pseq=s->seq; send_unit(c,s->to,'U',s->seq,0); i++; }
				turn(10); sweep(); if(n_done!=ld){ ld=n_done; lp=now_; } if(now_-lp>15) break;
			}
			double el=now()-t0; mode=0; printf("{\"stored\":%ld,\"fail\":%ld,\"retx\":%ld,\"secs\":%.3f,\"per_s\":%.1f",n_done,n_fail,n_retx,el,n_done/el);
			pct("store",lat_r,nl_r); printf("}\n"); fflush(stdout); n_deliv=0;
		}
		else if(!strcmp(cmd,"collect")){
			/* delivered messages are counted from the last login on */
			double t0=now(); while(n_deliv<a[0]&&now()-t0<a[1]) turn(20);
			printf("{\"delivered\":%ld,\"secs\":%.3f}\n",n_deliv,now()-t0); fflush(stdout);
		}
		else if(!strcmp(cmd,"join")){
			char b[400]; int room=a[2], ok=0;
			for(int i=a[0];i<a[1];i++){ Cl *c=C[i]; c->joined=0; double t0=now();
				if(proto==XMPP){
					int n=sprintf(b,"<presence to='room%d@conference.%s/u%06d'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>",room,dom,i); tx(c,b,n);
					while(!c->joined&&now()-t0<5) turn(20);
					if(i==(int)a[0]){ n=sprintf(b,"<iq type='set' id='o' to='room%d@conference.%s'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>",room,dom); tx(c,b,n); for(int q=0;q<20;q++) turn(10); }
				} else if(!is_sip){ uint32_t g=room; put_raw(c,0xFFFFFFFEu,(char*)&g,4,4); while(!c->joined&&now()-t0<5) turn(20); }
				else c->joined=1;
				ok+=c->joined; }
			for(int q=0;q<30;q++) turn(10);
			printf("{\"joined\":%d}\n",ok); fflush(stdout);
		}
		else if(!strcmp(cmd,"idle")){ double t0=now(); while(now()-t0<a[0]) turn(50); printf("{\"idle\":%.1f}\n",now()-t0); fflush(stdout); }
		else { printf("{\"error\":\"unknown command\"}\n"); fflush(stdout); }
	}
}
