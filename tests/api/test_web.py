"""The page is served from the API's own address, and can load nothing from elsewhere."""

import pytest
from fastapi.testclient import TestClient

from api.app import create_app


@pytest.fixture
def page(product, settings_from, tmp_path) -> TestClient:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<title>Oddsmith</title>")
    (dist / "assets" / "index-1a2b.js").write_text("1")
    (dist / "docs").mkdir()
    (dist / "docs" / "index.html").write_text("<title>API reference")
    (tmp_path / "secret").write_text("not for the web")
    settings_from(web_dist=dist)
    return TestClient(create_app())


@pytest.mark.parametrize("path", ["/", "/jobs/ftjob-1", "/sign-in?token=x", "/favicon.ico"])
def test_every_path_of_the_page_is_the_page(page, path):
    answer = page.get(path)
    assert answer.status_code == 200
    assert "<title>Oddsmith" in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_reference_is_a_page_of_its_own_under_the_same_policy(page, path):
    answer = page.get(path)
    assert "<title>API reference" in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    assert (
        answer.headers["content-security-policy"]
        == page.get("/").headers["content-security-policy"]
    )


def test_assets_are_kept_and_those_of_an_older_build_are_missing(page):
    assert "immutable" in page.get("/assets/index-1a2b.js").headers["cache-control"]
    assert page.get("/assets/index-old.js").status_code == 404


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "/assets/..%2f..%2fsecret"])
def test_nothing_outside_the_build_is_served(page, path):
    assert "not for the web" not in page.get(path).text


def test_an_unknown_path_of_the_api_is_an_error_in_json(page):
    answer = page.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "path_not_found"


def test_without_a_build_the_api_stands_alone(product, settings_from, tmp_path):
    settings_from(web_dist=tmp_path / "nowhere")
    client = TestClient(create_app())
    assert client.get("/").status_code == 404
    assert client.get("/healthz").status_code == 200
